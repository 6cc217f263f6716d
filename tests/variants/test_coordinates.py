"""Coordinate prediction: the formula by loops, the partners of the relative task, masks, and what can be learnt."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from contracts.invariances import check_mask_is_absence, value_and_gradients
from contracts.layouts import randn
from tolerances import assert_close
from torch import Tensor, nn

from benchmarks.memory import peak_bytes
from infomax import CoordinateLoss
from infomax.ops import use_workspace
from infomax.variants import coordinates
from infomax.variants.coordinates import _partners

by_task = pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
SIZES = [(5,), (2, 3), (2, 1, 3)]


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(size: tuple[int, ...], relative: bool, local_dim: int = 3, global_dim: int = 2) -> CoordinateLoss:
    torch.manual_seed(1)
    return CoordinateLoss(local_dim, size, global_dim, relative=relative, units=4).double()


def by_loops(loss: Any, local: Tensor, global_: Tensor, mask: Tensor | None = None) -> tuple[float, float]:
    """Return cross-entropy and accuracy from concatenated features, for each location, global and axis in turn."""
    weights = {name: value.detach().numpy() for name, value in loss.state_dict().items()}
    parts = ["from_local", "from_partner", "from_global"] if loss.relative else ["from_local", "from_global"]
    hidden = np.concatenate([weights[f"{part}.weight"] for part in parts], axis=1)
    n, places = len(local), list(np.ndindex(*loss.size))
    present = torch.ones(n, len(places), dtype=torch.bool) if mask is None else mask.reshape(n, -1)
    partner = _partners(present, draw()).numpy()
    x, y = local.flatten(2).numpy(), global_.reshape(n, global_.shape[1], -1).numpy()
    losses, right = [], []
    for i in range(n):
        for p, place in enumerate(places):
            if not present[i, p] or (loss.relative and present[i].sum() < 2):
                continue
            for q in range(y.shape[2]):
                features, target = [x[i, :, p], y[i, :, q]], list(place)
                if loss.relative:
                    other = places[partner[i, p]]
                    features.insert(1, x[i, :, partner[i, p]])
                    target = [b - a + size - 1 for a, b, size in zip(place, other, loss.size, strict=True)]
                middle = np.maximum(hidden @ np.concatenate(features) + weights["from_local.bias"], 0)
                logits = weights["classifier.weight"] @ middle + weights["classifier.bias"]
                total, start = 0.0, 0
                for axis, classes in enumerate(2 * s - 1 if loss.relative else s for s in loss.size):
                    chosen = logits[start : start + classes]
                    total += np.log(np.exp(chosen).sum()) - chosen[target[axis]]
                    right.append(float(chosen.argmax() == target[axis]))
                    start += classes
                losses.append(total)
    return float(np.mean(losses)), float(np.mean(right))


def check_formula(loss: Any, local: Tensor, global_: Tensor, mask: Tensor | None = None) -> None:
    terms = loss.terms(local, global_, mask, generator=draw())
    expected, accuracy = by_loops(loss, local, global_, mask)
    assert_close(terms.loss, expected, 1e-12, "loss")
    assert_close(terms.accuracy, accuracy, 1e-12, "accuracy")
    assert_close(loss(local, global_, mask, generator=draw()), expected, 1e-12, "loss of a call")


def masks(n: int, size: tuple[int, ...]) -> Tensor:
    """Return masks: the first example is whole, the second has one location, the third some, all others none."""
    mask = torch.ones(n, *size, dtype=torch.bool)
    flat = mask.view(n, -1)
    flat[1, 1:] = False
    flat[2, ::2] = False
    flat[3:] = False
    return mask


@by_task
class TestFormula:
    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("masked", [False, True])
    def test_equals_the_loops(self, relative: bool, size: tuple[int, ...], masked: bool) -> None:
        local, global_ = randn(4, 3, *size), randn(4, 2, seed=1)
        check_formula(built(size, relative), local, global_, masks(4, size) if masked else None)

    def test_several_globals_predict_each(self, relative: bool) -> None:
        check_formula(built((2, 3), relative), randn(3, 3, 2, 3), randn(3, 2, 2, 2, seed=1))

    def test_at_chance_it_is_the_logarithm_of_the_classes(self, relative: bool) -> None:
        loss = built((2, 5), relative)
        nn.init.zeros_(loss.classifier.weight)
        nn.init.zeros_(loss.classifier.bias)
        classes = 3 * 9 if relative else 2 * 5
        assert_close(loss(randn(4, 3, 2, 5), randn(4, 2)), math.log(classes), 1e-12)

    def test_gradients_in_double_precision(self, relative: bool) -> None:
        loss = built((2, 2), relative)
        local, global_ = randn(2, 3, 2, 2).requires_grad_(), randn(2, 2, seed=1).requires_grad_()
        assert torch.autograd.gradcheck(lambda x, y: loss(x, y, generator=draw()), (local, global_))

    def test_all_parameters_learn(self, relative: bool) -> None:
        loss = built((2, 3), relative)
        loss(randn(4, 3, 2, 3), randn(4, 2)).backward()
        assert all(p.grad is not None and p.grad.any() for p in loss.parameters())

    def test_dtypes(self, relative: bool) -> None:
        loss = built((2, 3), relative).float()
        assert loss(torch.randn(4, 3, 2, 3), torch.randn(4, 2)).dtype == torch.float32
        with pytest.raises(TypeError, match=r"local must have the dtype of the parameters.*loss_fn\.to"):
            loss(torch.randn(4, 3, 2, 3).half(), torch.randn(4, 2).half())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            terms = loss.terms(torch.randn(4, 3, 2, 3).bfloat16(), torch.randn(4, 2).bfloat16())
        assert terms.loss.dtype == terms.accuracy.dtype == torch.float32
        assert not terms.accuracy.requires_grad

    def test_memory_format_does_not_matter(self, relative: bool) -> None:
        loss, local, global_ = built((2, 3), relative), randn(4, 3, 2, 3), randn(4, 2)
        expected = loss(local, global_, generator=draw())
        assert_close(loss(local.to(memory_format=torch.channels_last), global_, generator=draw()), expected, 1e-12)

    def test_copies(self, relative: bool) -> None:
        loss, local, global_ = built((2, 3), relative), randn(4, 3, 2, 3), randn(4, 2)
        fresh = CoordinateLoss(3, (2, 3), 2, relative=relative, units=4).double()
        fresh.load_state_dict(loss.state_dict())
        expected = loss(local, global_, generator=draw())
        for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), fresh):
            assert other(local, global_, generator=draw()) == expected


class Seeded(nn.Module):
    """A loss with the same partners at every call."""

    def __init__(self, loss: CoordinateLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, local: Tensor, global_: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.loss(local, global_, mask, generator=draw())


@by_task
class TestMask:
    def test_what_is_masked_is_absent(self, relative: bool) -> None:
        size = (2, 3)
        check_mask_is_absence(
            lambda: Seeded(built(size, relative)), randn(4, 3, *size), randn(4, 2, seed=1), masks(4, size)
        )

    def test_a_lone_location_has_no_influence_on_the_relative_task(self, relative: bool) -> None:
        mask, global_ = masks(3, (2, 3)), randn(3, 2, seed=1)
        loss, local = built((2, 3), relative), randn(3, 3, 2, 3)
        value = loss(local, global_, mask, generator=draw())
        global_[1] = torch.inf
        other = loss(local, global_, mask, generator=draw())
        assert (other == value) if relative else not other.isfinite()

    @pytest.mark.skipif(
        torch.__version__.startswith("2.6."), reason="torch 2.6 breaks the graph where a mask is checked"
    )
    def test_one_graph(self, relative: bool) -> None:
        loss, local, global_ = built((2, 3), relative), randn(3, 3, 2, 3), randn(3, 2)
        compiled = torch.compile(loss, fullgraph=True, backend="eager")
        torch.manual_seed(0)
        value = compiled(local, global_, masks(3, (2, 3)))
        torch.manual_seed(0)
        assert_close(value, loss(local, global_, masks(3, (2, 3))), 1e-12)

    def test_a_whole_mask_is_none(self, relative: bool) -> None:
        loss, local, global_ = built((2, 3), relative), randn(3, 3, 2, 3), randn(3, 2)
        mask = torch.ones(3, 2, 3, dtype=torch.bool)
        assert loss(local, global_, mask, generator=draw()) == loss(local, global_, generator=draw())

    def test_nothing_left_is_refused(self, relative: bool) -> None:
        mask = torch.zeros(3, 2, 3, dtype=torch.bool)
        if relative:  # one location per example makes no pair
            mask[:, 0, 0] = True
        with pytest.raises(ValueError, match="mask must leave a"):
            built((2, 3), relative)(randn(3, 3, 2, 3), randn(3, 2), mask)


class TestPartners:
    def test_another_real_location_each_once(self) -> None:
        present = torch.rand(200, 7, generator=draw()) < 0.6
        partner = _partners(present, draw(1))
        for here, who in zip(present, partner, strict=True):
            real = here.nonzero().flatten().tolist()
            chosen = who[here].tolist()
            assert sorted(chosen) == real
            if len(real) > 1:
                assert all(p != q for p, q in zip(real, chosen, strict=True))

    def test_every_other_location_is_as_likely(self) -> None:
        partner = _partners(torch.ones(6000, 4, dtype=torch.bool), draw())
        share = torch.stack([(partner[:, 0] == other).float().mean() for other in range(4)])
        assert_close(share, [0, 1 / 3, 1 / 3, 1 / 3], 0.03)

    def test_a_generator_makes_them_reproducible(self) -> None:
        loss, local, global_ = built((4, 4), relative=True), randn(3, 3, 4, 4), randn(3, 2)
        state = torch.get_rng_state()
        values = [loss(local, global_, generator=draw(seed)) for seed in (0, 0, 1)]
        assert values[0] == values[1] != values[2]
        assert torch.equal(torch.get_rng_state(), state)


class TestLearning:
    @by_task
    def test_features_that_tell_the_place_are_enough(self, relative: bool) -> None:
        torch.manual_seed(0)
        size = (3, 4)
        loss = CoordinateLoss(7, size, 2, relative=relative, units=64)
        rows, columns = torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij")
        place = torch.cat([torch.eye(3)[rows], torch.eye(4)[columns]], -1).permute(2, 0, 1)
        local, global_ = place.expand(16, -1, -1, -1), torch.randn(16, 2)
        optimizer = torch.optim.Adam(loss.parameters(), lr=2e-2)
        for _ in range(80):
            optimizer.zero_grad()
            loss(local, global_).backward()
            optimizer.step()
        terms = loss.terms(local, global_)
        assert terms.accuracy > 0.95
        assert terms.loss < 0.3

    def test_features_that_do_not_are_at_chance_at_best(self) -> None:
        torch.manual_seed(0)
        loss = CoordinateLoss(5, (3, 4), 2, units=32)
        local, global_ = torch.randn(16, 5, 1, 1).expand(-1, -1, 3, 4), torch.randn(16, 2)
        optimizer = torch.optim.Adam(loss.parameters(), lr=2e-2)
        for _ in range(50):
            optimizer.zero_grad()
            loss(local, global_).backward()
            optimizer.step()
        assert loss(local, global_) >= math.log(12) - 1e-5


class TestCheckers:
    """The checks refuse faulty implementations."""

    def test_the_loops_refuse_other_targets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        places = coordinates._places
        local, global_ = randn(3, 3, 2, 3), randn(3, 2, seed=1)
        for relative in (False, True):
            wrong = built((2, 3), relative)
            with monkeypatch.context() as patch:
                patch.setattr(coordinates, "_places", lambda *of: places(*of).flip(0))
                with pytest.raises(AssertionError):
                    check_formula(wrong, local, global_)

    def test_the_loops_refuse_a_global_that_is_ignored(self) -> None:
        class Deaf(CoordinateLoss):
            def terms(self, local: Tensor, global_: Tensor, *rest: Any, **options: Any) -> Any:
                return super().terms(local, torch.zeros_like(global_), *rest, **options)

        with pytest.raises(AssertionError):
            check_formula(Deaf(3, (2, 3), 2, units=4).double(), randn(3, 3, 2, 3), randn(3, 2, seed=1))

    def test_the_mask_check_refuses_a_mean_over_all(self) -> None:
        class Leaky(nn.Module):
            def forward(self, local: Tensor, global_: Tensor, mask: Tensor) -> Tensor:
                return local.square().mean() + global_.sum()

        with pytest.raises(AssertionError):
            check_mask_is_absence(Leaky, randn(3, 3, 2, 3), randn(3, 2), masks(3, (2, 3)))


def test_gradients_reach_the_partner() -> None:
    """With two locations, the features of the second one affect the displacement that is predicted for the first."""
    loss = built((2,), relative=True)
    _, by_local, _ = value_and_gradients(Seeded(loss), randn(2, 3, 2), randn(2, 2))
    with torch.no_grad():
        loss.from_local.weight.zero_()
    _, alone, _ = value_and_gradients(Seeded(loss), randn(2, 3, 2), randn(2, 2))
    assert by_local.all()
    assert alone.any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: CoordinateLoss(0, (2, 2), 2), ValueError, "local_dim must be at least 1, got 0"),
        (lambda: CoordinateLoss(3, (2, 2), 0), ValueError, "global_dim must be at least 1, got 0"),
        (lambda: CoordinateLoss(3, 4, 2), TypeError, r"size must be a sequence of sizes such as \(8, 8\), got int"),
        (lambda: CoordinateLoss(3, (2, 0), 2), ValueError, "size must be at least 1, got 0"),
        (lambda: CoordinateLoss(3, (1, 1), 2), ValueError, r"size must hold at least 2 locations.*got \(1, 1\)"),
        (lambda: CoordinateLoss(3, (), 2), ValueError, r"size must hold at least 2 locations.*got \(\)"),
        (
            lambda: CoordinateLoss(3, (2, 2), 2)(torch.zeros(4, 3, 2, 3), torch.zeros(4, 2)),
            ValueError,
            r"local must have the shape \(N, 3, 2, 2\) of local_dim and size, got \(4, 3, 2, 3\)",
        ),
        (
            lambda: CoordinateLoss(3, (2, 2), 2)(torch.zeros(4, 3, 2, 2), torch.zeros(3, 2)),
            ValueError,
            r"global_ must have shape \(4, 2\) .*got \(3, 2\)",
        ),
        (
            lambda: CoordinateLoss(3, (2, 2), 2)(torch.zeros(4, 3, 2, 2).long(), torch.zeros(4, 2)),
            TypeError,
            "local must have a real floating dtype",
        ),
        (
            lambda: CoordinateLoss(3, (2, 2), 2)(torch.zeros(4, 3, 2, 2), torch.zeros(4, 2), torch.ones(4, 2, 2)),
            TypeError,
            "mask must be a bool tensor",
        ),
        (
            lambda: CoordinateLoss(3, (2, 2), 2)(torch.zeros(4, 3, 2, 2), torch.zeros(4, 2), torch.ones(4, 4) > 0),
            ValueError,
            r"mask must have the shape \(4, 2, 2\)",
        ),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@by_task
class TestWorkspace:
    """The N Q P hidden vectors never exist all at once."""

    def test_chunks_give_the_dense_value_and_gradients(self, relative: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        loss, size = built((2, 3), relative), (2, 3)
        local, global_, mask = randn(3, 3, *size), randn(3, 2, 4, seed=1), masks(3, size)

        def run() -> list[Tensor]:
            inputs = [local.clone().requires_grad_(), global_.clone().requires_grad_()]
            terms = loss.terms(*inputs, mask, generator=draw())
            gradients = torch.autograd.grad(terms.loss, [*inputs, *loss.parameters()])
            return [*terms, *gradients]

        dense = run()
        monkeypatch.setattr("infomax.variants.coordinates.workspace", lambda device: 1500)  # a few pairs at a time
        for ours, theirs in zip(run(), dense, strict=True):
            assert_close(ours, theirs, 1e-12)

    def test_the_memory_stays_within_it(self, relative: bool) -> None:
        loss = CoordinateLoss(16, (7, 7), 8, relative=relative, units=128)
        local, global_ = torch.randn(16, 16, 7, 7, requires_grad=True), torch.randn(16, 8, 25, requires_grad=True)
        table = 16 * 25 * 49 * 128 * 4  # bytes of all hidden units, 9.6 MiB

        def step() -> None:
            loss(local, global_).backward()

        step()  # so that the gradients exist
        rows = 16 * (49 + 25) * 128 * 4  # bytes for locations and globals; times 8 with gradients and partners
        with use_workspace(2**20):
            peak = peak_bytes(step)
        assert peak < 2**20 + 8 * rows < table
        assert peak_bytes(step) > 2 * table, "the measurement notices a table"


def test_options_of_torch_modules() -> None:
    loss = CoordinateLoss(np.int64(3), (2, 2), 2, units=4, device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in loss.parameters()} == {("meta", torch.float64)}
    assert loss.extra_repr() == "3, (2, 2), 2, units=4"


def test_made_without_memory_it_is_complete_with_its_parameters() -> None:
    """Regression: the targets were a buffer outside the state dict. They were arbitrary numbers after ``to_empty``."""
    made = CoordinateLoss(3, (2, 3), 2, units=4)
    other = CoordinateLoss(3, (2, 3), 2, units=4, device="meta").to_empty(device="cpu")
    other.load_state_dict(made.state_dict())
    local, global_ = torch.randn(2, 3, 2, 3), torch.randn(2, 2)
    assert other(local, global_) == made(local, global_)
