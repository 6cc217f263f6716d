"""The optimizers of examples/reproduction/train_dim.py: the steps of Muon, and its combination with AdamW."""

import copy

import pytest
import torch


@pytest.fixture(scope="module")
def optimizers(parts):
    return parts.optimizers


@pytest.mark.parametrize("shape", [(6, 6), (5, 40), (40, 5), (1, 7)])
def test_orthogonal_keeps_the_singular_vectors_and_makes_the_values_equal(optimizers, shape):
    u, s, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.linspace(1, 20, len(s)) * 1e-6  # the scale must not matter
    found = u.T @ optimizers.orthogonal(u @ torch.diag(values) @ v) @ v.T
    diagonal = found.diagonal()
    assert ((diagonal > 0.6) & (diagonal < 1.3)).all()
    torch.testing.assert_close(found, torch.diag(diagonal), atol=1e-4, rtol=0)


def test_orthogonal_of_nothing_is_nothing(optimizers):
    assert torch.equal(optimizers.orthogonal(torch.zeros(3, 4)), torch.zeros(3, 4))


@pytest.mark.parametrize("shape", [(24, 60), (60, 24), (16, 3, 4, 4), (30, 20)])
def test_the_length_of_a_step(optimizers, shape):
    """The root mean square of a step is the learning rate times a constant, for every shape."""
    weight = torch.zeros(shape, requires_grad=True)
    optimizer = optimizers.Muon([weight], lr=0.5)
    weight.grad = torch.randn(shape)
    optimizer.step()
    assert weight.square().mean().sqrt().item() == pytest.approx(0.5 * optimizers.LENGTH, rel=0.25)
    assert (weight.detach() * weight.grad).sum() < 0  # against the gradient


def test_a_kernel_is_a_matrix_in_any_memory_format(optimizers):
    """The update of a kernel equals that of the matrix of its rows, in every memory format."""
    gradient = torch.randn(6, 4, 3, 3)
    changed = []
    for start in (
        torch.zeros(6, 4, 3, 3),
        torch.zeros(6, 4, 3, 3).contiguous(memory_format=torch.channels_last),
        torch.zeros(6, 36),
    ):
        weight = start.requires_grad_()
        weight.grad = gradient.reshape(start.shape).contiguous(memory_format=torch.preserve_format)
        optimizers.Muon([weight], lr=1.0).step()
        changed.append(weight.detach().reshape(6, 36))
    torch.testing.assert_close(changed[1], changed[0])
    torch.testing.assert_close(changed[2], changed[0])


def test_muon_finds_the_minimum_that_is_badly_scaled(optimizers):
    """The slopes of the coordinates differ by a factor of 1000. The learning rate falls to 0, as in a run."""
    target, slopes = torch.randn(8, 16), torch.logspace(-3, 0, 8)[:, None]
    weight = torch.zeros(8, 16, requires_grad=True)
    optimizer = optimizers.Muon([weight], lr=0.1)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 400)
        optimizer.zero_grad()
        (slopes * (weight - target).square()).sum().backward()
        optimizer.step()
    assert (weight - target).abs().max() < 0.05


def test_weight_decay_is_decoupled(optimizers):
    weight = torch.ones(2, 2, requires_grad=True)
    weight.grad = torch.zeros(2, 2)
    optimizers.Muon([weight], lr=0.5, weight_decay=0.2).step()
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), 0.9))


@pytest.mark.parametrize("shape", [(24, 60), (16, 3, 4, 4)])
def test_an_update_in_bfloat16_is_near_the_one_in_float32(optimizers, shape):
    """The products are in bfloat16; the weight and the momentum keep their dtype, so small steps add up."""
    weights = [torch.full(shape, 100.0).requires_grad_() for _ in range(2)]
    both = [optimizers.Muon([weights[0]], lr=1e-3), optimizers.Muon([weights[1]], lr=1e-3, bf16=True)]
    for _ in range(20):
        gradient = torch.randn(shape) * 1e-6
        for weight, optimizer in zip(weights, both, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    exact, half = (weight.detach() - 100 for weight in weights)
    assert half.norm() > 0
    assert (half - exact).norm() < 0.05 * exact.norm()
    assert both[1].state[weights[1]]["momentum"].dtype == torch.float32


def test_bf16_of_a_run_reaches_muon(trainer):
    chosen = [trainer(optimizer="muon", bf16=bf16).optimizer.optimizers[1].bf16 for bf16 in (False, True)]
    assert chosen == [False, True]


def test_a_parameter_without_gradient_stays(optimizers):
    weight = torch.ones(2, 2, requires_grad=True)
    optimizers.Muon([weight], lr=0.5).step()
    assert torch.equal(weight, torch.ones(2, 2))


def test_every_parameter_has_one_optimizer(trainer):
    built = trainer(optimizer="muon", weight_decay=0.1, alpha=1.0, units=64)
    held = [p for group in built.optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, built.model.parameters()))
    matrices, vectors, muon = built.optimizer.param_groups
    assert [group["weight_decay"] for group in (matrices, vectors, muon)] == [0.1, 0.0, 0.1]
    assert all(p.ndim < 2 for p in vectors["params"])
    encoder = dict(built.encoder.named_parameters())
    by_muon = {name for name, p in encoder.items() if any(p is other for other in muon["params"])}
    shapes = {tuple(encoder[name].shape) for name in by_muon}
    assert shapes == {(128, 64, 4, 4), (256, 128, 4, 4), (64, 1024)}  # not the first kernel, nor fc (1,024 x 4,096)
    before = {name: encoder[name].clone() for name in encoder}
    built.train_step(torch.arange(8))
    assert all(not torch.equal(encoder[name], before[name]) for name in by_muon)
    assert {group["lr"] for group in built.optimizer.param_groups} == {matrices["lr"]}  # the schedule sets every group


def test_muon_without_a_matrix_that_suits_it_is_refused(parts):
    options = parts.resolving.resolve({"out": "unused", "optimizer": "muon"})
    with pytest.raises(parts.errors.BadInput, match=r"--optimizer muon: expected a matrix .* 64 to 512 .* adamw"):
        parts.optimizers.build(torch.nn.Linear(63, 2000), options, torch.device("cpu"))


def test_adamw_is_the_default(trainer):
    assert type(trainer().optimizer) is torch.optim.AdamW


def test_a_run_goes_on_bitwise(trainer):
    built, again = trainer(optimizer="muon"), trainer(optimizer="muon")
    for _ in range(3):
        built.train_step(torch.arange(8))
    state = copy.deepcopy(built.state_dict())
    again.load_state_dict(copy.deepcopy(state))
    for each in (built, again):
        torch.set_rng_state(state["ranks"][0]["random"]["cpu"])
        each.train_step(torch.arange(8, 16))
    for name, value in built.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_a_checkpoint_of_the_other_optimizer_is_refused(trainer, parts):
    adam = trainer(optimizer="adamw")
    adam.train_step(torch.arange(8))
    with pytest.raises(parts.errors.BadInput, match="--resume: expected a checkpoint of this model"):
        trainer(optimizer="muon").load_state_dict(adam.state_dict())


def test_a_run_from_before_the_option_goes_on_with_adamw(parts, tmp_path):
    """The saved options of such a run name no optimizer, so AdamW is used and any other optimizer is refused."""
    saved = vars(parts.resolving.resolve({"out": "unused"}))
    del saved["optimizer"]
    assert parts.resolving.resume({}, saved, tmp_path).optimizer == "adamw"
    assert parts.resolving.resume({"optimizer": "adamw"}, saved, tmp_path).optimizer == "adamw"
    with pytest.raises(parts.errors.BadInput, match=r"--optimizer muon \(the run has adamw\)"):
        parts.resolving.resume({"optimizer": "muon"}, saved, tmp_path)
