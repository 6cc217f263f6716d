"""Edge cases of critics: rows of zeros, learned scales, wrong dtypes, devices of parameters, factories."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from contracts.layouts import randn
from tolerances import assert_close
from torch import Tensor, nn

import infomax
from infomax import (
    MINE,
    NWJ,
    TUBA,
    BilinearCritic,
    ConcatCritic,
    CosineCritic,
    Critic,
    DIMLoss,
    DotCritic,
    GaussianCritic,
    GlobalDIMLoss,
    InfoMaxLoss,
    LipschitzCritic,
    LocalDIMLoss,
    PairScores,
    PriorMatchingLoss,
)
from infomax import functional as F
from infomax.critics import LearnedScale, build_critic
from infomax.critics.normalisation import unit_length
from infomax.estimators import build_estimator
from infomax.pairs import Pairing
from infomax.scores import StreamedScores

C, D = 3, 5


def rows(*shape: int, seed: int = 0) -> Tensor:
    return randn(*shape, seed=seed, dtype=torch.float32)


# --- a row of zeros -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e6), (torch.bfloat16, 1e6), (torch.float16, 1e3)])
def test_the_gradient_of_a_row_of_zeros_is_bounded(dtype: torch.dtype, most: float) -> None:
    """The bound is the inverse of the smallest length. With torch's 1e12, gradients of earlier layers overflow."""
    short = rows(4, 8)
    short[1], short[2] = 0.0, 1e-9 * short[2]
    short = short.to(dtype).requires_grad_()
    unit = unit_length(short)
    assert unit.dtype == dtype
    assert not unit[1].any()
    assert_close(unit.detach().float().norm(dim=1)[[0, 3]], [1.0, 1.0], 1e-2)
    (gradient,) = torch.autograd.grad(unit.float().sum(), short)
    assert gradient.isfinite().all()
    assert gradient.abs().max() <= most * 1.01
    assert gradient[1].abs().max() >= most * 0.98, "and the row is told where to go"


@pytest.mark.parametrize("lower", [None, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0.1, "learned"])
def test_a_blank_image_under_the_cosine_critic(lower: torch.dtype | None, temperature: Any) -> None:
    """An encoder without biases maps a blank image to a row of zeros, here the local and the global feature."""
    torch.manual_seed(0)
    encoder = nn.Linear(6, 8, bias=False)
    images = rows(6, 6)
    images[2] = 0.0
    loss_fn = LocalDIMLoss(8, 8, critic=CosineCritic(8, 8, units=16, temperature=temperature))
    with torch.autocast("cpu", dtype=lower or torch.bfloat16, enabled=lower is not None):
        y = encoder(images)
        loss = loss_fn(y, y)
    y.retain_grad()
    loss.backward()
    assert loss.isfinite()
    assert y.grad is not None
    for gradient in (y.grad, *(p.grad for p in [*encoder.parameters(), *loss_fn.parameters()])):
        assert gradient is not None
        assert gradient.isfinite().all()
    most = 1e3 if lower == torch.float16 else 1e6
    assert y.grad.abs().max() < 15 * most, "1 / temperature, times 1 / eps"


# --- a learned scale ------------------------------------------------------------------------------------------------

LEARNED: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "cosine": (lambda temperature: CosineCritic(C, D, units=8, temperature=temperature), 0.07),
    "dot": (lambda scale: DotCritic(C, D, units=8, scale=scale), 8**-0.5),
}
by_critic = pytest.mark.parametrize("name", LEARNED)


@by_critic
def test_it_starts_as_the_fixed_one(name: str) -> None:
    build, start = LEARNED[name]
    learned, fixed = build("learned"), build(start)
    fixed.load_state_dict({k: v for k, v in learned.state_dict().items() if "learned_scale" not in k})
    local, global_ = rows(6, C, 4), rows(6, D, seed=1)
    for one, other in zip(
        learned(local, global_).reduce("logsumexp"), fixed(local, global_).reduce("logsumexp"), strict=True
    ):
        assert_close(one, other, 1e-5)
    names = [name for name, _ in learned.named_parameters() if "scale" in name]
    assert names == ["learned_scale.log_value"]
    assert not [name for name, _ in fixed.named_parameters() if "scale" in name]


@by_critic
def test_training_finds_another(name: str) -> None:
    """Training raises the scale if x and y are related, and lowers it if they are independent."""
    for related in (True, False):
        torch.manual_seed(0)
        loss_fn = LocalDIMLoss(C, D, critic=LEARNED[name][0]("learned"))
        start = float(loss_fn.critic.learned_scale.value.detach())
        x = torch.randn(16, C)
        y = x @ torch.randn(C, D) if related else torch.randn(16, D)
        optimizer = torch.optim.Adam(
            loss_fn.parameters() if related else loss_fn.critic.learned_scale.parameters(), 0.02
        )
        for _ in range(200 if related else 30):
            optimizer.zero_grad()
            loss_fn(x, y).backward()
            optimizer.step()
        end = float(loss_fn.critic.learned_scale.value.detach())
        assert end > start if related else end < start


def test_its_gradient_is_that_of_a_factor() -> None:
    critic = DotCritic(C, D, units=8, scale="learned").double()
    local, global_ = randn(6, C), randn(6, D, seed=1)
    F.jsd_loss(critic(local, global_)).backward()
    plain = DotCritic(C, D, units=8, scale=1.0).double()
    plain.load_state_dict({k: v for k, v in critic.state_dict().items() if "learned_scale" not in k})
    table = plain.global_projection(global_) @ plain.local_projection(local).T
    log_scale = torch.tensor(math.log(8**-0.5), dtype=torch.float64, requires_grad=True)
    F.jsd_loss(F.dense_scores(log_scale.exp() * table)).backward()
    assert_close(critic.learned_scale.log_value.grad, log_scale.grad, 1e-6)


@by_critic
def test_it_never_exceeds_100(name: str) -> None:
    critic = LEARNED[name][0]("learned")
    nn.init.constant_(critic.learned_scale.log_value, 30.0)
    assert_close(critic.learned_scale.value, 100.0, 1e-5)
    assert_close(LearnedScale(10.0, largest=3.0)(torch.ones(2)), [3.0, 3.0], 1e-6)
    scores = critic(rows(6, C), rows(6, D, seed=1)).joint()
    assert scores.isfinite().all()
    if name == "cosine":
        assert scores.abs().max() <= 100.01


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # torch.func loads torch.jit
def test_a_learned_scale_comes_back_from_its_bound() -> None:
    """Beyond its bound, the scale has a gradient back and none outwards; within, the gradient of the exponential."""
    scale = LearnedScale(100.0)
    scale.log_value.data += 0.1
    (back,) = torch.autograd.grad(scale.value, scale.log_value)
    assert_close(back, 100.0, 1e-4)
    (farther,) = torch.autograd.grad(-scale.value, scale.log_value)
    assert farther == 0
    scale.log_value.data.fill_(2.0)
    (within,) = torch.autograd.grad(-scale.value, scale.log_value)
    assert_close(within, -math.exp(2.0), 1e-5)

    def value(log_value: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(scale, {"log_value": log_value}, (torch.ones(1),)).sum()

    logs = torch.tensor([2.0, 5.0])
    assert_close(torch.func.vmap(torch.func.grad(value))(logs), [math.exp(2.0), 100.0], 1e-4)
    assert_close(torch.func.jvp(value, (logs[0],), (torch.ones(()),))[1], math.exp(2.0), 1e-5)


@by_critic
def test_a_tensor_is_refused_with_the_reason(name: str) -> None:
    for value in (torch.tensor(0.1), nn.Parameter(torch.tensor(0.1))):
        with pytest.raises(TypeError, match=r"number or 'learned', got a torch.Tensor: .*a constant factor.*'learned'"):
            LEARNED[name][0](value)


@by_critic
def test_its_repr_says_so(name: str) -> None:
    assert "='learned'" in repr(LEARNED[name][0]("learned"))
    assert "='learned'" not in repr(LEARNED[name][0](0.5))
    assert "=0.5" in repr(LEARNED[name][0](0.5))


# --- dtypes ---------------------------------------------------------------------------------------------------------

CRITICS: dict[str, Callable[..., Critic]] = {
    "dot": partial(DotCritic, C, D, units=8),
    "dot, learned": partial(DotCritic, C, D, units=8, scale="learned"),
    "bilinear": partial(BilinearCritic, C, D),
    "cosine": partial(CosineCritic, C, D, units=8),
    "cosine, learned": partial(CosineCritic, C, D, units=8, temperature="learned"),
    "concat": partial(ConcatCritic, C, D, units=8),
    "gaussian": partial(GaussianCritic, C, D, units=8),
    "lipschitz": partial(LipschitzCritic, C, D, units=8),
}
MODULES: dict[str, Callable[..., nn.Module]] = {
    **CRITICS,
    "local": partial(LocalDIMLoss, C, D, units=8),
    "global": partial(GlobalDIMLoss, C, D, (2,), units=8),
    "whole": partial(DIMLoss, C, D, (2,), alpha=1.0, units=8),
    "prior": partial(PriorMatchingLoss, D, hidden=(4,)),
}


def call(name: str, module: nn.Module, dtype: torch.dtype, other: torch.dtype) -> Tensor:
    local, global_ = rows(6, C, 2).to(dtype), rows(6, D, seed=1).to(other)
    if name == "prior":
        return module(global_)
    found = module(local, global_)
    if isinstance(found, PairScores):
        return found.reduce("logsumexp").marginal.sum()
    return found[0] if isinstance(found, tuple) else found


def test_without_parameters_both_sides_need_one_dtype() -> None:
    """The message once named query and key, which the caller does not know."""
    loss_fn = InfoMaxLoss(C, C, critic=partial(CosineCritic, units=None))
    x, y = rows(6, C), rows(6, C, seed=1)
    with pytest.raises(TypeError, match=r"^y must have the dtype of x, torch.float32, got torch.float64; convert one$"):
        loss_fn(x, y.double())
    with pytest.raises(TypeError, match=r"^y must have the dtype of x, .*; convert one, or call under torch.autocast$"):
        loss_fn(x, y.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss_fn(x, y.bfloat16()).isfinite()


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_of_another_dtype_are_refused_with_what_to_do(name: str, dtype: torch.dtype) -> None:
    module = MODULES[name]()
    autocast = "$" if dtype == torch.float64 else r", or call under torch\.autocast"  # it leaves float64 alone
    cure = rf"got {dtype}; convert the features with \.float\(\), .* loss_fn\.to\({dtype}\){autocast}"
    for pair in ((dtype, dtype), (torch.float32, dtype)):
        which = r"y" if name == "prior" else ("local" if pair[0] == dtype else "global_")
        with pytest.raises(TypeError, match=rf"^{which} must have the dtype of the parameters, torch.float32, {cure}"):
            call(name, module, *pair)


@pytest.mark.parametrize("name", MODULES)
def test_under_autocast_half_features_are_welcome(name: str) -> None:
    module = MODULES[name]()
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = call(name, module, dtype, dtype)
            with pytest.raises(TypeError, match=r"must have the dtype .*got torch.float64"):
                call(name, module, torch.float64, torch.float64)
        assert value.isfinite()


@pytest.mark.parametrize("name", MODULES)
def test_a_converted_module_takes_features_of_its_dtype(name: str) -> None:
    for dtype in (torch.float64, torch.bfloat16):
        value = call(name, MODULES[name]().to(dtype), dtype, dtype)
        assert value.isfinite()
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("name", MODULES)
def test_device_and_dtype(name: str) -> None:
    for dtype in (torch.float64, torch.bfloat16):
        module = MODULES[name](dtype=dtype)
        assert {p.dtype for p in module.parameters()} == {dtype}
    meta = MODULES[name](device="meta")
    assert {tensor.device.type for tensor in [*meta.parameters(), *meta.buffers()]} == {"meta"}
    assert {p.dtype for p in MODULES[name]().parameters()} == {torch.float32}


# --- your own -------------------------------------------------------------------------------------------------------


class Own(Critic):
    """A user's critic that uses public methods only."""

    def __init__(self, local_dim: int, global_dim: int) -> None:
        super().__init__(local_dim, global_dim)
        self.embed = nn.Linear(global_dim, local_dim)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> PairScores:
        return StreamedScores(self.embed(global_), local, pairing)


def test_a_critic_of_your_own() -> None:
    loss_fn = LocalDIMLoss(C, D, critic=Own)
    assert isinstance(loss_fn.critic, Own)
    local, global_ = rows(6, C, 2), rows(6, D, seed=1)
    loss_fn(local, global_).backward()
    assert all(p.grad is not None and p.grad.any() for p in loss_fn.parameters())
    assert loss_fn.mutual_information(local, global_).isfinite()
    with pytest.raises(TypeError, match="local must have the dtype of the parameters"):
        loss_fn(local.double(), global_.double())
    with pytest.raises(ValueError, match=r"local must have 3 channels, .*; channels come second, permute it"):
        loss_fn(rows(6, 2, C), global_)
    assert "local_dim=3, global_dim=5" in repr(loss_fn)


def test_factories() -> None:
    made = build_critic(partial(DotCritic, units=8), C, D)
    assert isinstance(made, DotCritic)
    assert made.local_projection.output.out_features == 8
    assert isinstance(build_critic(lambda c, d: nn.Bilinear(c, d, 1), C, D), infomax.PairwiseCritic)
    assert isinstance(build_estimator(MINE), MINE)
    assert build_estimator(MINE) is not build_estimator(MINE)
    assert build_estimator(partial(TUBA, alpha=0.25)).alpha == 0.25  # type: ignore[attr-defined]
    assert isinstance(build_estimator(lambda: NWJ()), NWJ)
    loss_fn = DIMLoss(C, D, (2,), alpha=1.0, critic=partial(DotCritic, units=8), estimator=MINE)
    assert loss_fn.local_term is not None
    assert loss_fn.global_term is not None
    assert loss_fn.local_term.estimator is not loss_fn.global_term.estimator
    assert loss_fn.local_term.critic is not loss_fn.global_term.critic


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: build_critic(lambda c, d: 3, C, D), TypeError, "critic must be .*got function, which returned int"),
        (lambda: build_critic(lambda c, d: DotCritic(d, c, units=2), C, D), ValueError, "critic must have local_dim=3"),
        (lambda: build_critic(partial(DotCritic, units=2), C, D, 8), ValueError, "units belongs to .*with DotCritic"),
        (lambda: build_estimator(lambda: None), TypeError, "estimator must be .*function, which returned NoneType"),
        (lambda: build_estimator(lambda: nn.Identity()), TypeError, "estimator must offer mutual_information"),
    ],
)
def test_wrong_factories_are_refused(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()
