"""The gradient that is computed in chunks equals the gradient of the whole batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from contracts.layouts import randn
from tolerances import assert_close
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from infomax import DIMLoss, InfoMaxLoss, LocalDIMLoss, PriorMatchingLoss
from infomax._random import random_state, replayed
from infomax.training import cached_backward

N = 10


class Pair(NamedTuple):
    local: Tensor
    global_: Tensor


class Encoder(nn.Module):
    """An encoder of local and global features, with dropout on request."""

    def __init__(self, drop: float = 0.0) -> None:
        super().__init__()
        self.map = nn.Sequential(nn.Conv1d(2, 3, 2), nn.Tanh(), nn.Dropout(drop))
        self.top = nn.Linear(3 * 4, 4)
        self.unused = nn.Linear(2, 2)

    def forward(self, images: Tensor) -> Pair:
        local = self.map(images)
        return Pair(local, self.top(local.flatten(1)))


def gradients(*modules: nn.Module) -> dict[str, Tensor]:
    found = {f"{i}.{n}": p.grad for i, m in enumerate(modules) for n, p in m.named_parameters() if p.grad is not None}
    assert found
    return found


LOSSES: dict[str, Any] = {
    "local": lambda: LocalDIMLoss(3, 4, units=6, dtype=torch.float64),
    "mine": lambda: LocalDIMLoss(3, 4, critic="bilinear", estimator="mine", dtype=torch.float64),
    "concat": lambda: LocalDIMLoss(3, 4, critic="concat", estimator="jsd", units=6, dtype=torch.float64),
    "all": lambda: DIMLoss(3, 4, (4,), alpha=1.0, units=6, prior=PriorMatchingLoss(4, "normal"), dtype=torch.float64),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("chunk_size", [1, 3, 10, 64])
def test_gradients_are_those_of_the_whole_batch(name: str, chunk_size: int) -> None:
    torch.manual_seed(0)
    encoder, loss_fn = Encoder().double(), LOSSES[name]()
    others = copy.deepcopy((encoder, loss_fn))
    images = randn(N, 2, 5)
    mask = torch.rand(N, 4, generator=torch.Generator().manual_seed(1)) < 0.7
    mask[:, 0] = True
    for _ in range(2):  # gradients accumulate
        torch.manual_seed(5)  # for the samples of the prior
        expected = others[1](*others[0](images), mask=mask)
        expected = getattr(expected, "loss", expected)
        expected.backward()
        torch.manual_seed(5)
        found = cached_backward(encoder, loss_fn, images, chunk_size=chunk_size, mask=mask)
        assert_close(found, expected, 1e-12)
        assert not found.requires_grad
    one, other = gradients(encoder, loss_fn), gradients(*others)
    assert one.keys() == other.keys()
    for key, value in other.items():
        assert_close(one[key], value, 1e-10, key)


def test_dropout_draws_the_same_in_both_passes() -> None:
    """Compare with kept graphs of the same chunks: both passes must use the same dropout masks."""
    encoder, loss_fn = Encoder(drop=0.5).double(), LOSSES["local"]()
    other, other_loss = copy.deepcopy((encoder, loss_fn))
    images = randn(N, 2, 5)
    torch.manual_seed(3)
    outputs = [other(images[start : start + 4]) for start in range(0, N, 4)]
    other_loss(torch.cat([o.local for o in outputs]), torch.cat([o.global_ for o in outputs])).backward()
    after = torch.get_rng_state()
    torch.manual_seed(3)
    cached_backward(encoder, loss_fn, images, chunk_size=4)
    assert torch.equal(torch.get_rng_state(), after), "the next draw is that of the plain loop"
    for key, value in gradients(other, other_loss).items():
        assert_close(gradients(encoder, loss_fn)[key], value, 1e-10, key)


class Noisy(nn.Module):
    """Features with noise of the given kind."""

    def __init__(self, draw: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.draw = nn.Linear(3, 4), draw

    def forward(self, rows: Tensor) -> dict[str, Tensor]:
        return {"x": self.layer(rows), "y": self.layer(rows) * (1 + self.draw(rows))}


def test_other_random_numbers_in_the_second_pass_are_noticed() -> None:
    own, numbers = torch.Generator().manual_seed(0), np.random.default_rng(0)

    def step(draw: Callable[[Tensor], Tensor]) -> None:
        loss_fn = InfoMaxLoss(4, 4, units=8)
        cached_backward(Noisy(draw), lambda x, y: loss_fn(x, y), torch.randn(8, 3), chunk_size=4)

    step(lambda rows: torch.rand(len(rows), 1))
    step(lambda rows: torch.full((len(rows), 1), torch.nan))  # NaN is the loss's concern
    for draw in (
        lambda rows: torch.rand(len(rows), 1, generator=own),
        lambda rows: torch.from_numpy(numbers.random((len(rows), 1), dtype=np.float32)),
    ):
        with pytest.raises(RuntimeError, match="features must give the same features in both passes"):
            step(draw)


class Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 4), nn.Linear(2, 4)

    def forward(self, a: Tensor, b: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
        return {"x": scale * self.one(a), "y": self.two(b)}


@pytest.mark.parametrize("as_dict", [False, True])
def test_several_inputs_and_named_outputs(as_dict: bool) -> None:
    towers, loss_fn = Towers().double(), InfoMaxLoss(4, 4, dtype=torch.float64)
    others = copy.deepcopy((towers, loss_fn))
    a, b = randn(N, 3), randn(N, 2, seed=1)
    others[1](**others[0](a, b, 2.0)).backward()
    cached_backward(towers, loss_fn, {"a": a, "b": b, "scale": 2.0} if as_dict else (a, b, 2.0), chunk_size=3)
    for key, value in gradients(*others).items():
        assert_close(gradients(towers, loss_fn)[key], value, 1e-10, key)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_a_scaler(dtype: torch.dtype) -> None:
    encoder, loss_fn = Encoder(), LocalDIMLoss(3, 4, critic="bilinear")
    others = copy.deepcopy((encoder, loss_fn))
    images = randn(N, 2, 5, dtype=torch.float32)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    with torch.autocast("cpu", dtype=dtype):
        (8 * others[1](*others[0](images))).backward()
        cached_backward(encoder, loss_fn, images, chunk_size=3, scaler=scaler)
    for key, value in gradients(*others).items():
        assert_close(gradients(encoder, loss_fn)[key], value, 2e-2, key)


def test_outputs_that_do_not_learn_stay_so() -> None:
    """As in a plain call, a loss that refuses globals with a gradient accepts globals without one."""

    class Frozen(Encoder):
        def forward(self, images: Tensor) -> Pair:
            local, global_ = super().forward(images)
            return Pair(local, global_.detach())

    torch.manual_seed(0)
    encoder, loss_fn = Frozen().double(), LocalDIMLoss(3, 4, critic="gaussian", estimator="club", dtype=torch.float64)
    images = torch.randn(7, 2, 5, dtype=torch.float64)
    others = copy.deepcopy((encoder, loss_fn))
    loss = cached_backward(encoder, loss_fn, images, chunk_size=3)
    expected = others[1](*others[0](images))
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradients(encoder, loss_fn), gradients(*others))


def test_it_holds_the_graph_of_one_chunk() -> None:
    """Count the rows that autograd holds for the encoder at any one time."""
    alive, most = 0, 0

    class Saved:
        def __init__(self, rows: Tensor) -> None:
            nonlocal alive, most
            self.rows = rows
            alive += len(rows)
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= len(self.rows)

    def counted(rows: Tensor) -> Tensor:
        with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.rows):
            return rows.sin()

    encoder = Encoder().double()
    encoder.map.insert(1, nn.Identity())
    encoder.map[1].forward = counted  # type: ignore[method-assign]
    cached_backward(encoder, LOSSES["local"](), randn(64, 2, 5), chunk_size=4)
    assert most == 4
    assert alive == 0


@pytest.mark.parametrize(
    ("features", "inputs", "error", "message"),
    [
        (
            nn.Sequential(nn.BatchNorm1d(2)),
            torch.zeros(4, 2, 5),
            ValueError,
            "batch norm in training mode or without running statistics, got BatchNorm1d at '0'",
        ),
        (
            # Without running statistics, batch norm uses those of the batch, in evaluation mode too.
            nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False)).eval(),
            torch.zeros(4, 2, 5),
            ValueError,
            "or without running statistics, got BatchNorm1d at '0'",
        ),
        (Encoder(), torch.zeros(0, 2, 5), ValueError, "inputs must hold at least one example, got none"),
        (Encoder(), (torch.zeros(3, 2), torch.zeros(4, 2)), ValueError, r"one first axis, got \(3, 2\), \(4, 2\)"),
        (Encoder(), "images", TypeError, "must be a tensor, a tuple or a dict, got str"),
        (nn.Flatten(0), torch.zeros(4, 2), ValueError, r"one row per example, got \(8,\) for 4 examples"),
    ],
)
def test_refusals(features: nn.Module, inputs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cached_backward(features, LocalDIMLoss(3, 4, critic="bilinear"), inputs)


def test_random_numbers_are_those_of_the_weights_devices_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that moves its inputs itself draws on the device of its weights."""
    seen: list[list[object]] = []

    def kept(tensors: Iterable[object]) -> Any:
        seen.append(list(tensors))
        return random_state(seen[-1])

    monkeypatch.setattr("infomax.training.cache.random_state", kept)
    encoder, inputs = Encoder(), torch.randn(6, 2, 5)
    cached_backward(encoder, LocalDIMLoss(3, 4, critic="bilinear"), inputs, chunk_size=4)
    assert len(seen) == 2
    for tensors in seen:
        assert {id(parameter) for parameter in encoder.parameters()} < {id(tensor) for tensor in tensors}


@pytest.mark.parametrize("name", ["cuda:0", "xpu:0", "mps:0"])
def test_any_device_draws_the_same_numbers_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: random numbers of devices other than CUDA were not replayed.

    A stand-in for torch's module of the device counts draws.
    """
    device, state = torch.device(name), [5]

    class Generators:
        @staticmethod
        def get_rng_state(*which: torch.device) -> Tensor:
            assert which == (() if device.type == "mps" else (device,))
            return torch.tensor(state)

        @staticmethod
        def set_rng_state(values: Tensor, *which: torch.device) -> None:
            assert which == (() if device.type == "mps" else (device,))
            state[:] = values.tolist()

    with FakeTensorMode():
        inputs = [torch.empty(2, device=device), torch.empty(2, device="meta"), torch.empty(2), "text"]
    monkeypatch.setattr(torch, "get_device_module", lambda of: Generators if of == device else None)
    drawn = random_state(inputs)
    state[0] = 9  # other draws happen between the passes
    with replayed(drawn):
        assert state == [5]
        state[0] += 1
    assert state == [9]


def test_batch_norm_in_evaluation_mode_is_fine() -> None:
    encoder = Encoder()
    encoder.map.insert(1, nn.BatchNorm1d(3).eval())
    assert cached_backward(
        encoder, LocalDIMLoss(3, 4, critic="bilinear"), torch.randn(6, 2, 5), chunk_size=4
    ).isfinite()


@pytest.mark.parametrize("kind", ["FSDP2", "DDP"])
def test_gradients_are_exchanged_in_the_last_chunk_alone_and_after_an_error_again(kind: str) -> None:

    class Shared(Encoder):
        fails = False

        def __init__(self) -> None:
            super().__init__()
            self.exchanging, self.seen = True, list[bool]()

        def forward(self, images: Tensor) -> Pair:
            if torch.is_grad_enabled():
                self.seen.append(self.exchanging)
                if self.fails:
                    raise ArithmeticError("in a chunk")
            return super().forward(images)

    class Sharded(Shared):
        def set_requires_gradient_sync(self, exchanging: bool) -> None:
            self.exchanging = exchanging

    class Replicated(Shared):
        @contextmanager
        def no_sync(self) -> Iterator[None]:
            self.exchanging = False
            try:
                yield
            finally:
                self.exchanging = True

    encoder, loss_fn = {"FSDP2": Sharded, "DDP": Replicated}[kind]().double(), LOSSES["local"]()
    cached_backward(encoder, loss_fn, randn(N, 2, 5), chunk_size=4)
    assert encoder.seen == [False, False, False, True], "the first chunk twice: which outputs learn, and its gradient"
    assert encoder.exchanging
    encoder.fails = True
    with pytest.raises(ArithmeticError, match="in a chunk"):
        cached_backward(encoder, loss_fn, randn(N, 2, 5), chunk_size=4)
    assert encoder.exchanging


@pytest.mark.parametrize("chunk_size", [3, 64])
def test_what_comes_before_the_inputs_learns_too(chunk_size: int) -> None:
    """Regression: each chunk ran backward through the graph before the inputs.

    The second chunk raised an error, after the gradients of the first had been added.
    """
    torch.manual_seed(0)
    before, encoder, loss_fn = nn.Conv1d(2, 2, 1).double(), Encoder().double(), LOSSES["local"]()
    raw = randn(N, 2, 5)
    loss_fn(*encoder(before(raw).sigmoid())).backward()
    expected = gradients(before, encoder, loss_fn)
    for module in (before, encoder, loss_fn):
        module.zero_grad()
    cached_backward(encoder, loss_fn, before(raw).sigmoid(), chunk_size=chunk_size)
    for name, found in gradients(before, encoder, loss_fn).items():
        assert_close(found, expected[name], 1e-10, name)


def test_chunks_of_other_shapes_are_refused() -> None:
    class Trimmed(nn.Module):
        def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            return tokens[:, :, : int(lengths.max())], tokens.sum(2)

    inputs = torch.randn(4, 3, 5, requires_grad=True), torch.tensor([2, 2, 5, 5])
    with pytest.raises(ValueError, match=r"features must give each chunk the same shape .* \(3, 2\), \(3, 5\); pad"):
        cached_backward(Trimmed(), LocalDIMLoss(3, 3, units=4), inputs, chunk_size=2)


def test_without_gradients_it_is_refused() -> None:
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"needs gradients, got torch.no_grad"):
        cached_backward(Encoder(), LocalDIMLoss(3, 4, units=6), torch.randn(4, 2, 5))
