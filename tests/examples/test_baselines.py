"""The baselines of examples/reproduction/dim_training: each learns, and each of its parts equals its formula."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import softplus

from infomax import encoders
from infomax.encoders import Conv, ConvEncoder, StagedEncoder, StridedCrops


def small(**more):
    """Return an encoder of images of 8 x 8 pixels."""
    return ConvEncoder(
        local=[Conv(8, 3, 1, 1)],
        conv=[Conv(16, 4, 2, 1)],
        fc=[32],
        input_size=8,
        input_channels=1,
        global_dim=6,
        **more,
    )


def batch(parts, count=12):
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(count, 1, 8, 8, generator=generator) * 2 - 1
    return parts.objective.Batch(images, None, torch.arange(count) % 3, torch.arange(count))


def build(parts, objective, count=12):
    images = SimpleNamespace(train=SimpleNamespace(pixels=torch.zeros(count, 8, 8, 1)), classes=("a", "b", "c"))
    return parts.models.build_model(SimpleNamespace(objective=objective), small(), images)


class TestDecoder:
    @pytest.mark.parametrize("name", ["conv28", "conv32", "conv64", "alexnet64"])
    def test_comes_back_to_the_image(self, parts, name):
        with torch.device("meta"):
            encoder = encoders.build(name)
            decoder = parts.decoder.Decoder(encoder)
            images = decoder(torch.empty(2, encoder.global_dim))
        assert images.shape == (2, encoder.input_channels, *encoder.input_size)

    def test_sizes_that_strides_do_not_divide(self, parts):
        encoder = ConvEncoder(
            local=[Conv(4, 3, 2, 0, pool=(3, 2))], conv=[Conv(6, 2, 2, 0)], fc=[8, 9], input_size=(30, 21)
        )
        assert parts.decoder.Decoder(encoder)(torch.randn(3, 64)).shape == (3, 3, 30, 21)

    def test_an_encoder_that_cannot_be_mirrored(self, parts):
        with pytest.raises(parts.errors.BadInput, match="--encoder"):
            parts.decoder.Decoder(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("objective", ["autoencoder", "vae", "nat"])
def test_the_loss_falls_on_a_handful_of_images(parts, objective):
    model, given = build(parts, objective), batch(parts)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        step = model(given)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        losses.append(step.loss.item())
    assert set(step.parts) == set(model.columns)
    first, last = sum(losses[:3]), sum(losses[-3:])
    assert last < (0.9 if objective == "vae" else 0.5) * first


def test_vae_is_distortion_plus_the_divergence_from_the_prior(parts):
    model, given = build(parts, "vae"), batch(parts)
    torch.manual_seed(1)
    step = model(given)
    torch.manual_seed(1)
    noise = torch.randn(12, 6)
    encoder = model.encoder
    hidden = encoder.fc(encoder.conv(encoder.local(given.images)))
    posterior = torch.distributions.Normal(encoder.y(hidden), model.log_variance(hidden).mul(0.5).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    rate = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    torch.testing.assert_close(step.parts["rate"], rate)
    images = model.decoder(posterior.mean + posterior.stddev * noise)
    likelihood = torch.distributions.Normal(images, 1.0).log_prob(given.images).flatten(1).sum(1).mean()
    constant = 64 * 0.5 * torch.tensor(2 * torch.pi).log()
    torch.testing.assert_close(step.loss, rate - likelihood - constant, rtol=1e-4, atol=1e-3)


class TestNoiseAsTargets:
    def test_the_assignment_is_the_best_of_all(self, parts):
        cost = torch.randn(5, 5)
        best = min(itertools.permutations(range(5)), key=lambda p: sum(cost[i, j].item() for i, j in enumerate(p)))
        assert parts.nat.cheapest(cost).tolist() == list(best)

    def test_targets_are_exchanged_never_made(self, parts):
        model, given = build(parts, "nat", count=20), batch(parts)
        before = model.targets.clone()
        given = given._replace(index=torch.arange(4, 16))
        model(given)
        assert torch.equal(model.targets[16:], before[16:])
        assert not torch.equal(model.targets, before)
        assert sorted(model.targets.tolist()) == sorted(before.tolist())
        assert model(given).parts["moved"] == 0  # the assignment is optimal already

    def test_targets_are_kept_in_a_checkpoint(self, parts):
        assert "targets" in build(parts, "nat").state_dict()


def test_bigan_refuses_a_discriminator_that_is_sharded_by_itself(parts):
    model, given = build(parts, "bigan"), batch(parts)
    next(model.discriminator.parameters()).full_tensor = None  # as FSDP2's sharded weights have
    with pytest.raises(NotImplementedError, match="discriminator must not be sharded by itself"):
        model(given)


def test_bigan_players_get_their_own_gradients(parts):
    model, given = build(parts, "bigan"), batch(parts)
    torch.manual_seed(2)
    model(given).loss.backward()
    got = {name: p.grad.clone() for name, p in model.named_parameters()}

    model.zero_grad()
    torch.manual_seed(2)
    codes = model.encoder(given.images).global_
    noise = torch.randn_like(codes)
    made = model.generator(noise)
    real, fake = model.discriminator(given.images, codes), model.discriminator(made, noise)
    judges = list(model.discriminator.named_parameters(prefix="discriminator"))
    others = [(n, p) for n, p in model.named_parameters() if not n.startswith("discriminator")]
    judge = softplus(-real).mean() + softplus(fake).mean()
    for (name, _), wanted in zip(
        judges, torch.autograd.grad(judge, [p for _, p in judges], retain_graph=True), strict=True
    ):
        torch.testing.assert_close(got[name], wanted, rtol=1e-3, atol=1e-6)
    fool = softplus(real).mean() + softplus(-fake).mean()
    for (name, _), wanted in zip(others, torch.autograd.grad(fool, [p for _, p in others]), strict=True):
        torch.testing.assert_close(got[name], wanted, rtol=1e-3, atol=1e-6)


class TestContrastivePredictiveCoding:
    @pytest.fixture
    def model(self, parts):
        """Return a model for digits of 8 x 8 pixels in 3 x 3 crops, so that two rows are below the first."""
        torch.manual_seed(0)
        crop = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 12), torch.nn.ReLU())
        encoder = StagedEncoder(
            local=StridedCrops(crop, 4), conv=torch.nn.Identity(), fc=torch.nn.Flatten(), y=torch.nn.Identity(),
            input_size=(8, 8), input_channels=1, local_dim=12, local_size=(3, 3), global_dim=108,
        )  # fmt: skip
        return parts.cpc.ContrastivePredictiveCoding(encoder, width=16)

    @pytest.fixture
    def digits(self, parts):
        pixels = torch.from_numpy(pytest.importorskip("sklearn.datasets").load_digits().images[:24]).float()
        return parts.objective.Batch(pixels[:, None] / 8 - 1, None, torch.zeros(24), torch.arange(24))

    def test_a_context_sees_no_row_below_it(self, parts):
        context = parts.cpc.Context(4, width=8).train()
        crops = torch.randn(3, 4, 7, 7, requires_grad=True)
        contexts = context(crops)
        assert contexts.shape == (3, 8, 7, 7)
        for row in range(7):
            (gradient,) = torch.autograd.grad(contexts[:, :, row].square().sum(), crops, retain_graph=True)
            assert (gradient[:, :, row + 1 :] == 0).all()
            assert (gradient[:, :, : row + 1] != 0).any(dim=(1, 3)).all()

    def test_the_loss_is_the_choice_of_the_right_crop_among_all_of_the_step(self, model, digits):
        model, images = model.double(), digits.images.double()
        crops = model.encoder.local(images)
        context = model.context(crops)
        for k, loss in enumerate(model(digits._replace(images=images)).parts.values(), start=1):
            matrix = model.critics[k - 1].weight.weight
            places = [(n, i, j) for n in range(24) for i in range(3 - k) for j in range(3)]
            query = torch.stack([matrix @ context[n, :, i, j] for n, i, j in places])
            key = torch.stack([crops[n, :, i + k, j] for n, i, j in places])
            table = query @ key.T / 12**0.5
            torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(table, torch.arange(len(places))))

    def test_it_learns_and_reports_nats(self, model, digits):
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        losses = []
        for _ in range(60):
            step = model(digits)
            optimizer.zero_grad()
            step.loss.backward()
            optimizer.step()
            losses.append(step.loss.item())
        assert losses[-1] < 0.5 * losses[0]
        found = model.information(model(digits).features)
        ceiling = torch.tensor([24.0 * 6, 24.0 * 3]).log().mean().item()
        assert found["mi_ceiling"] == pytest.approx(ceiling)
        assert found["mi"] == pytest.approx(ceiling - model(digits).loss.item(), abs=1e-5)
        assert set(step.parts) | set(found) == set(model.columns)

    @pytest.mark.parametrize("encoder", ["auto", "conv32"])
    def test_an_encoder_without_crops_is_refused_before_images_are_read(self, parts, encoder):
        with pytest.raises(parts.errors.BadInput, match=f"--objective cpc: .*resnet32-crops.* got --encoder {encoder}"):
            parts.resolving.resolve({"objective": "cpc", "encoder": encoder})

    def test_one_of_your_own_without_crops_is_refused(self, parts):
        with pytest.raises(parts.errors.BadInput, match="--encoder: expected one on crops"):
            build(parts, "cpc")
