"""What every estimator, critic and loss must keep to. Each check takes the thing to judge and raises AssertionError.

Checks are functions, so that ``test_checkers.py`` can hand them wrong implementations and watch them refuse. They
judge only what is public: features in, loss and gradients out.
"""

from __future__ import annotations

import copy
import functools
import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import oracles
import torch
from tolerances import RELATIVE, assert_close
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from infomax import FDivergence
from infomax import functional as F
from infomax.ops import use_workspace
from infomax.scores import DenseScores, PairScores

Loss = Callable[..., Tensor]


class Layout(NamedTuple):
    """Shapes of local and global features that belong together."""

    name: str
    local: tuple[int, ...]
    global_: tuple[int, ...]

    @property
    def locations(self) -> tuple[int, ...]:
        return self.local[2:]


# Every kind of layout the library promises, each as small as can tell a mistake.
LAYOUTS = [
    Layout("vectors", (4, 3), (4, 3)),
    Layout("two examples", (2, 2, 3), (2, 2)),
    Layout("sequence", (3, 2, 5), (3, 2)),
    Layout("map", (3, 3, 2, 3), (3, 3)),
    Layout("volume", (3, 2, 2, 1, 3), (3, 2)),
    Layout("several globals", (3, 2, 4), (3, 2, 2)),
    Layout("map of globals", (3, 2, 2, 2), (3, 2, 1, 2)),
    Layout("vector with several globals", (3, 3), (3, 3, 2)),
    Layout("one channel", (3, 1, 2), (3, 1)),
]


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def features(layout: Layout, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Leaves that require gradients."""
    local, global_ = randn(*layout.local, seed=seed), randn(*layout.global_, seed=seed + 1000)
    return local.to(dtype).requires_grad_(), global_.to(dtype).requires_grad_()


def for_a_loss(name: str) -> str | FDivergence:
    """An estimator as a loss of features takes it: ``"rkl"`` is refused by its name."""
    return FDivergence(name) if name == "rkl" else name


def some_mask(layout: Layout, seed: int = 0) -> Tensor:
    """A mask of the layout that hides something, and leaves locations in two examples at least."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(layout.local[:1] + layout.locations, generator=generator) < 0.6
    flat = mask.view(mask.shape[0], -1)
    flat[:2, 0] = True
    flat[-1, -1] = False
    return mask


def rows(tensor: Tensor) -> Tensor:
    """(N, c, *spatial) as (N, P, c), written without the library."""
    return tensor[:, None] if tensor.ndim == 2 else torch.stack([t.flatten(1).T for t in tensor])


def numpy_rows(tensor: Tensor) -> np.ndarray:
    return rows(tensor.detach().double()).numpy()


def like_rows(gradient: np.ndarray, tensor: Tensor) -> Tensor:
    """Gradients of rows (N, P, c), in the layout of the tensor they belong to."""
    return torch.from_numpy(gradient).transpose(1, 2).reshape(tensor.shape)


def table_of(local: Tensor, global_: Tensor, scale: float = 1.0) -> Tensor:
    return scale * torch.einsum("iqu,jpu->iqjp", rows(global_), rows(local))


def _tiles(local: Tensor, global_: Tensor, mask: Tensor | None, scale: float) -> PairScores:
    streamed = F.dot_scores(local, global_, mask)
    # So many floats a pair that the smallest workspace holds a handful of pairs: many tiles, ragged ends.
    return DenseScores(
        lambda query, key: (query * key).sum(-1),
        streamed.query,
        streamed.key,
        streamed.pairing,
        floats_per_pair=2**16 // (8 * 7),
        scale=scale,
    )


def scores_in(form: str, local: Tensor, global_: Tensor, mask: Tensor | None = None, scale: float = 1.0) -> PairScores:
    """The same scores in each of the forms that the library has."""
    if form == "streamed":
        return F.dot_scores(local, global_, mask, scale)
    if form == "tiles":
        return _tiles(local, global_, mask, scale)
    assert form == "table"
    flat = None if mask is None else mask.reshape(mask.shape[0], -1)
    return F.dense_scores(table_of(local, global_, scale), flat)


FORMS = ["streamed", "table", "tiles"]


def workspace_of_tiles(form: str) -> Any:
    return use_workspace(2**16)


# --- values and gradients -----------------------------------------------------------------------------------------


def check_loss_and_gradients(
    loss: Callable[[PairScores], Tensor],
    oracle: Callable[[oracles.Pairs], complex],
    layout: Layout,
    form: str,
    *,
    masked: bool = False,
    scale: float = 1.0,
    dtype: torch.dtype = torch.float64,
    tolerance: float | None = None,
) -> None:
    """Value and both gradients against the loops."""
    local, global_ = features(layout, dtype=dtype)
    mask = some_mask(layout) if masked else None
    with workspace_of_tiles(form):
        value = loss(scores_in(form, local, global_, mask, scale))
        assert value.ndim == 0, f"loss must be a scalar, got {tuple(value.shape)}"
        by_local, by_global = torch.autograd.grad(value, (local, global_))

    expected, expected_local, expected_global = _expected(oracle, layout, masked, scale, dtype)
    tolerance = RELATIVE[dtype] if tolerance is None else tolerance
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32), value.dtype
    assert by_local.dtype == by_global.dtype == dtype
    assert_close(value, expected, min(tolerance, 1e-5) if dtype != torch.float64 else tolerance, "loss")
    assert_close(by_local, like_rows(expected_local, local), tolerance, "gradient of local")
    assert_close(by_global, like_rows(expected_global, global_), tolerance, "gradient of global_")


@functools.cache
def _expected(
    oracle: Callable[[oracles.Pairs], complex], layout: Layout, masked: bool, scale: float, dtype: torch.dtype
) -> tuple[float, np.ndarray, np.ndarray]:
    local, global_ = features(layout, dtype=dtype)
    mask = some_mask(layout).reshape(layout.local[0], -1).numpy() if masked else None
    x, y = numpy_rows(local), numpy_rows(global_)
    value, gradient = oracles.value_and_gradient(oracle, oracles.dot_table(x, y, scale), mask)
    return (value, *oracles.dot_gradients(gradient, x, y, scale))


def check_estimate(
    estimate: Callable[[PairScores], Tensor],
    oracle: Callable[[oracles.Pairs], complex],
    layout: Layout,
    form: str,
    *,
    masked: bool = False,
) -> None:
    """The estimate in nats against the loops."""
    local, global_ = features(layout)
    mask = some_mask(layout) if masked else None
    with workspace_of_tiles(form):
        value = estimate(scores_in(form, local, global_, mask))
    flat = None if mask is None else mask.reshape(mask.shape[0], -1).numpy()
    table = oracles.dot_table(numpy_rows(local), numpy_rows(global_))
    assert value.ndim == 0
    assert_close(value, oracle(oracles.pairs_of(table, flat)).real, RELATIVE[torch.float64], "estimate")


# --- invariances ----------------------------------------------------------------------------------------------------


def value_and_gradients(loss: Loss, local: Tensor, global_: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    local, global_ = local.detach().requires_grad_(), global_.detach().requires_grad_()
    value = loss(local, global_, *rest)
    by_local, by_global = torch.autograd.grad(value, (local, global_))
    return value.detach(), by_local, by_global


def check_permutations(loss: Loss, local: Tensor, global_: Tensor, tolerance: float = 1e-10) -> None:
    """The order of examples and that of locations mean nothing; gradients move with their rows."""
    value, by_local, by_global = value_and_gradients(loss, local, global_)
    order = torch.arange(local.shape[0]).roll(1)
    other, other_local, other_global = value_and_gradients(loss, local[order], global_[order])
    assert_close(other, value, tolerance, "loss of permuted examples")
    assert_close(other_local, by_local[order], tolerance, "gradient of permuted examples")
    assert_close(other_global, by_global[order], tolerance, "gradient of permuted examples")
    if local.ndim > 2:
        flat = local.flatten(2)
        places = torch.arange(flat.shape[2]).roll(1)
        shuffled = flat[:, :, places].reshape(local.shape)
        other, other_local, _ = value_and_gradients(loss, shuffled, global_)
        assert_close(other, value, tolerance, "loss of permuted locations")
        assert_close(other_local.flatten(2), by_local.flatten(2)[:, :, places], tolerance, "gradient of locations")


def check_mask_is_absence(
    make_loss: Callable[[], nn.Module], local: Tensor, global_: Tensor, mask: Tensor, tolerance: float = 1e-10
) -> None:
    """What a masked location holds, NaN and infinity included, reaches nothing: loss, gradients, batch norm."""
    outcomes = []
    hidden = ~mask.unsqueeze(1).expand(local.shape[:2] + mask.shape[1:]) if local.ndim > 2 else None
    assert hidden is not None
    for filling in (0.0, 1e3, torch.inf, -torch.inf, torch.nan):
        loss = make_loss()
        value, by_local, by_global = value_and_gradients(loss, local.masked_fill(hidden, filling), global_, mask)
        assert not by_local[hidden].any(), f"a masked location that holds {filling} has a gradient"
        value.isfinite().item() or _fail(f"loss is {value} where a masked location holds {filling}")
        outcomes.append((filling, value, by_local, by_global, copy.deepcopy(loss.state_dict())))
    _, value, by_local, by_global, state = outcomes[0]
    for filling, other, other_local, other_global, other_state in outcomes[1:]:
        assert_close(other, value, tolerance, f"loss with {filling} in masked locations")
        assert_close(other_local, by_local, tolerance, f"gradient of local with {filling} in masked locations")
        assert_close(other_global, by_global, tolerance, f"gradient of global_ with {filling} in masked locations")
        for name, buffer in state.items():
            assert_close(other_state[name], buffer, tolerance, f"{name} after {filling} in masked locations")


def check_padding_is_mask(
    make_loss: Callable[[], nn.Module], local: Tensor, global_: Tensor, padding: int = 3, tolerance: float = 1e-10
) -> None:
    """Locations that are not there and locations that are padded and masked are one thing."""
    short = make_loss()
    value, by_local, by_global = value_and_gradients(short, local, global_)
    padded = torch.nn.functional.pad(local, [0, padding], value=7.0)
    mask = torch.zeros(padded.shape[:1] + padded.shape[2:], dtype=torch.bool)
    mask[..., : local.shape[-1]] = True
    long = make_loss()
    other, other_local, other_global = value_and_gradients(long, padded, global_, mask)
    assert_close(other, value, tolerance, "loss with padding")
    assert_close(other_local[..., : local.shape[-1]], by_local, tolerance, "gradient with padding")
    assert_close(other_global, by_global, tolerance, "gradient of global_ with padding")
    for name, buffer in short.state_dict().items():
        assert_close(long.state_dict()[name], buffer, tolerance, f"{name} with padding")


def check_shift_of_one_global(loss: Callable[[PairScores], Tensor]) -> None:
    """A constant added to all scores of one global changes nothing (InfoNCE)."""
    table = randn(4, 2, 4, 3)
    shifted = table + 5.0 * randn(4, 2, seed=1)[:, :, None, None]
    assert_close(loss(F.dense_scores(shifted)), loss(F.dense_scores(table)), 1e-12, "loss with shifted globals")


def check_shift_of_all(loss: Callable[[PairScores], Tensor]) -> None:
    """One constant added to all scores changes nothing (InfoNCE, Donsker-Varadhan)."""
    table = randn(4, 2, 4, 3)
    for shift in (-30.0, 2.5, 40.0):
        assert_close(loss(F.dense_scores(table + shift)), loss(F.dense_scores(table)), 1e-12, f"loss + {shift}")


def check_constant_critic(estimate: Callable[[PairScores], Tensor], constant: float = 0.0) -> None:
    """A critic that says the same of every pair has found nothing."""
    for shape in ((2, 2), (5, 5), (3, 2, 3, 4)):
        value = estimate(F.dense_scores(torch.full(shape, constant, dtype=torch.float64)))
        assert_close(value, 0.0, 1e-12, f"estimate of a constant critic, {shape}")


# --- bounds ---------------------------------------------------------------------------------------------------------


@functools.cache
def gaussian_batches(correlation: float, examples: int, batches: int) -> list[np.ndarray]:
    """Log density ratios (N, N) of independent batches of correlated normals: an optimal critic's scores."""
    random, tables = np.random.default_rng(0), []
    for _ in range(batches):
        x = random.normal(size=(examples, 1))
        y = correlation * x + np.sqrt(1 - correlation**2) * random.normal(size=(examples, 1))
        tables.append(oracles.gaussian_log_ratio(x, y, correlation))
    return tables


def check_expectation(
    estimate: Callable[[PairScores], Tensor],
    *,
    correlation: float,
    truth: float,
    critic: Callable[[np.ndarray], np.ndarray] = lambda ratio: ratio,
    examples: int = 64,
    batches: int = 100,
    tight: bool = True,
    below: float = 0.0,
    side: str = "lower",
) -> None:
    """The mean over batches is at most ``truth`` + 4 standard errors, and where ``tight`` at least that much below.

    Args:
        side: "upper" for at least the truth - 4 standard errors, and where ``tight`` at most that much above.
        critic: from the log density ratio to the critic at the optimum of what is judged.
        below: how far below (of an upper bound: above) the truth theory puts the mean in batches of this size.
    """
    found = [
        float(estimate(F.dense_scores(torch.from_numpy(critic(ratio)))))
        for ratio in gaussian_batches(correlation, examples, batches)
    ]
    mean, deviation = float(np.mean(found)), 4 * float(np.std(found, ddof=1)) / batches**0.5
    assert deviation < 0.15 * max(truth, 1.0), f"too noisy to tell: 4 standard errors are {deviation}"
    above = mean - truth
    assert side in ("lower", "upper")
    if side == "lower":
        assert above <= deviation, f"{mean:.4f} exceeds the truth {truth:.4f} by more than {deviation:.4f}"
        reached = above >= -deviation - below
    else:
        assert above >= -deviation, f"{mean:.4f} falls short of the truth {truth:.4f} by more than {deviation:.4f}"
        reached = above <= deviation + below
    if tight:
        assert reached, f"{mean:.4f} misses the truth {truth:.4f} by more than {deviation:.4f}"


def check_ceiling(estimate: Callable[[PairScores], Tensor]) -> None:
    """InfoNCE never exceeds log(1 + K), and reaches it where the joint scores tower over the others."""
    for examples, locations in ((2, 1), (5, 1), (4, 3)):
        ceiling = np.log1p((examples - 1) * locations)
        eye = torch.eye(examples, dtype=torch.float64)[:, None, :, None].expand(-1, 2, -1, locations)
        for height in (1.0, 30.0, 1e4):
            value = estimate(F.dense_scores(height * eye + 0.3 * randn(examples, 2, examples, locations)))
            assert value <= ceiling + 1e-12, f"{float(value)} exceeds log(1 + K) = {ceiling}"
        assert_close(value, ceiling, 1e-12, "estimate of a perfect critic")


def check_lipschitz(critic: Any, local_dim: int, global_dim: int) -> None:
    """No score changes by more than the two features together, near by and far away, in training mode too."""
    draw = torch.Generator().manual_seed(0)
    for size in (0.1, 3.0, 100.0):
        for step in (1e-3, 1.0, 30.0):
            x, y = (size * torch.randn(24, dim, generator=draw).double() for dim in (local_dim, global_dim))
            dx, dy = (step * torch.randn(24, dim, generator=draw).double() for dim in (local_dim, global_dim))
            for a, b in ((dx, 0 * dy), (0 * dx, dy), (dx, dy)):
                change = (critic(x + a, y + b).joint() - critic(x, y).joint()).abs()
                most = a.norm(dim=1) + b.norm(dim=1)
                assert (change <= most * (1 + 1e-9) + 1e-12).all(), f"a score changes by {(change / most).max():.3g}"


# --- extremes -------------------------------------------------------------------------------------------------------


def check_finite_at_extremes(loss: Callable[[PairScores], Tensor]) -> None:
    """Scores of +-1e4 in float32 and of +-3e4 from bfloat16 features: finite loss and gradients."""
    signs = torch.tensor([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    for size, dtype in ((1e4, torch.float32), (3e4, torch.bfloat16)):
        for pattern in (signs, -signs, signs.abs(), -signs.abs()):
            local = (pattern[:, :1] * size).expand(3, 1).clone().to(dtype).requires_grad_()
            global_ = pattern[:, 1:].clone().to(dtype).requires_grad_()
            scores = F.dot_scores(local, global_)
            value = loss(scores)
            gradients = torch.autograd.grad(value, (local, global_), allow_unused=True)
            assert value.isfinite(), f"loss is {value} at scores of {size} in {dtype}"
            for gradient in gradients:
                assert gradient is None or gradient.isfinite().all(), f"gradient {gradient} at {size} in {dtype}"
        table = (torch.randn(5, 5, generator=torch.Generator().manual_seed(0)).sign() * size).requires_grad_()
        value = loss(F.dense_scores(table))
        (gradient,) = torch.autograd.grad(value, table)
        assert value.isfinite()
        assert gradient.isfinite().all(), f"gradient {gradient} of a table at {size}"


# --- state ----------------------------------------------------------------------------------------------------------


@contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """Raise if a parameter, a buffer, a gradient or a mode of ``module`` changes inside."""
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    modes = {name: (m.training, getattr(m, "track_running_stats", None)) for name, m in module.named_modules()}
    gradients = {name: p.grad for name, p in module.named_parameters()}
    yield
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), f"{name} has changed"
    for name, m in module.named_modules():
        assert modes[name] == (m.training, getattr(m, "track_running_stats", None)), f"mode of {name} has changed"
    for name, p in module.named_parameters():
        assert p.grad is gradients[name], f"gradient of {name} has changed"


def check_measures_without_trace(loss: Any, local: Tensor, global_: Tensor) -> None:
    """``mutual_information`` has no gradient and leaves the module as it was, in training and in evaluation mode."""
    local, global_ = local.detach().requires_grad_(), global_.detach().requires_grad_()
    for training in (True, False):
        loss.train(training)
        with unchanged(loss):
            nats = loss.mutual_information(local, global_)
        assert nats.ndim == 0
        assert not nats.requires_grad, "an estimate is to be reported, not trained"
    loss.train()


def check_estimate_first(estimator: Any) -> None:
    """Loss and estimate read the same scores in any order: what has no graph must not serve the loss."""
    for form in FORMS:
        results = []
        for estimate_first in (False, True):
            local, global_ = features(LAYOUTS[3])
            scores = scores_in(form, local, global_)
            fresh = copy.deepcopy(estimator)
            if estimate_first:
                fresh.mutual_information(scores)
            value = fresh(scores)
            assert value.requires_grad, f"{form}: the loss has no gradient after an estimate"
            results.append((value, *torch.autograd.grad(value, (local, global_))))
        for name, one, other in zip(("loss", "gradient of local", "gradient of global_"), *results, strict=True):
            assert_close(other, one, 1e-12, f"{form}: {name} after an estimate")


def check_copies(make_loss: Callable[[], nn.Module], local: Tensor, global_: Tensor) -> None:
    """deepcopy, pickle, and a saved state dict in a fresh module compute the same, after a call in training mode."""
    loss = make_loss()
    loss(local, global_)
    loss.eval()
    stored = io.BytesIO()
    torch.save(loss.state_dict(), stored)
    stored.seek(0)
    loaded = make_loss().eval()
    for parameter in loaded.parameters():
        nn.init.zeros_(parameter)
    loaded.load_state_dict(torch.load(stored, weights_only=True), strict=True)
    copies = [copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), loaded]
    value = loss(local, global_)
    for other in copies:
        assert {p.data_ptr() for p in other.parameters()}.isdisjoint({p.data_ptr() for p in loss.parameters()})
        assert torch.equal(other(local, global_), value), "a copy computes something else"


# --- the prior term -------------------------------------------------------------------------------------------------


def check_players_apart(prior: Any, dim: int = 4) -> None:
    """D's gradient never reaches the encoder, the encoder's never reaches D, and each learns from its own term."""
    encoder = nn.Linear(3, dim)
    y = encoder(torch.randn(32, 3, generator=torch.Generator().manual_seed(0)))
    terms = prior.terms(y, generator=torch.Generator().manual_seed(1))
    players = {"encoder": list(encoder.parameters()), "discriminator": list(prior.discriminator.parameters())}
    for mine, theirs in (("encoder", "discriminator"), ("discriminator", "encoder")):
        term = getattr(terms, mine)
        assert term.requires_grad, f"the {mine}'s own term does not reach it"
        own = torch.autograd.grad(term, players[mine], retain_graph=True, allow_unused=True)
        assert all(g is not None and g.isfinite().all() for g in own), f"the {mine}'s own term does not reach it"
        assert any(g.any() for g in own), f"the {mine} does not learn from its own term"
        leaked = torch.autograd.grad(term, players[theirs], retain_graph=True, allow_unused=True)
        assert all(g is None or not g.any() for g in leaked), f"the term of the {mine} reaches the {theirs}"
    # One backward of the sum gives each player the gradient of its own term alone.
    total = prior(y, generator=torch.Generator().manual_seed(1))
    for name, player in players.items():
        expected = torch.autograd.grad(getattr(terms, name), player, retain_graph=True)
        found = torch.autograd.grad(total, player, retain_graph=True)
        for one, other in zip(expected, found, strict=True):
            assert_close(other, one, 1e-5, f"gradient of the {name} from the sum of the terms")


# --- training -------------------------------------------------------------------------------------------------------


def check_overfits(
    loss: Any,
    *,
    forward: Callable[[nn.Module, Tensor], tuple[Tensor, ...]],
    encoder: nn.Module,
    images: Tensor,
    steps: int = 60,
    lr: float = 5e-3,
    gain: float = 0.5,
    read: Callable[..., Tensor] | None = None,
) -> None:
    """MI rises on a handful of examples when encoder and critic are trained by the loss, and nothing becomes NaN.

    Args:
        read: what must rise instead of ``loss.mutual_information``.
    """
    read = loss.mutual_information if read is None else read
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss.parameters()], lr=lr)
    first = float(read(*forward(encoder, images)).detach())
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        value = loss(*forward(encoder, images))
        assert value.isfinite(), f"loss is {value}"
        value.backward()
        optimizer.step()
    last = float(read(*forward(encoder, images)).detach())
    assert np.isfinite(last)
    assert last > first + gain, f"information went from {first:.3f} to {last:.3f} nats in {steps} steps"


# --- memory ---------------------------------------------------------------------------------------------------------


class LargestTensor(TorchDispatchMode):
    """Remembers the largest tensor that any operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0
        self.where = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            # Strides of zero are a view: what counts is what is stored.
            if isinstance(tensor, Tensor) and 0 not in tensor.stride() and tensor.numel() > self.numel:
                self.numel, self.where = tensor.numel(), str(func)
        return result


def check_no_table_larger_than(limit: int, compute: Callable[[], Tensor]) -> None:
    """No operation of forward or backward makes a tensor of more than ``limit`` numbers."""
    with LargestTensor() as largest:
        compute().backward()
    assert largest.numel > 0
    assert largest.numel <= limit, f"{largest.where} makes {largest.numel} numbers, more than {limit}"


def _fail(message: str) -> None:
    raise AssertionError(message)


# --- encoders on crops -----------------------------------------------------------------------------------------------


def check_crops_are_alone(
    encode: Callable[[Tensor], Tensor], images: Tensor, crop_size: int, stride: int, pixels: list[tuple[int, int]]
) -> None:
    """Changing a pixel changes the locations whose crop holds it, and no others."""
    before = encode(images)
    for row, column in pixels:
        changed = images.clone()
        changed[:, :, row, column] += 3.0
        moved = (encode(changed) != before).any(1)[0]
        for i, j in torch.cartesian_prod(*(torch.arange(side) for side in moved.shape)).tolist():
            holds = 0 <= row - i * stride < crop_size and 0 <= column - j * stride < crop_size
            assert bool(moved[i, j]) == holds, f"pixel {row, column} and location {i, j}"


# --- several processes ----------------------------------------------------------------------------------------------


def check_split_batch(single: dict[str, Tensor], ranks: Sequence[dict[str, Tensor]]) -> None:
    """Every process has the loss and estimate of the whole batch; averaged gradients are those of one process.

    Gradients of parameters come averaged over processes, as DistributedDataParallel leaves them. Those of features are
    each process's own, as many times too large as there are processes, which the average undoes further down.
    """
    for found in ranks:
        assert found.keys() == single.keys()
        for name in single.keys() - {"local", "global_"}:
            assert_close(found[name], single[name], 1e-10, name)
    features = [name for name in ("local", "global_") if name in single]
    assert features
    for name in features:  # globals that an estimator takes as constants have none
        whole = torch.cat([found[name] for found in ranks]) / len(ranks)
        assert_close(whole, single[name], 1e-10, f"gradient of {name}")
