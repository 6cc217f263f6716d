"""An example whose mask is all False is absent: it has no effect on any term, statistics or gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from contracts.layouts import randn
from tolerances import assert_close
from torch import Tensor, nn

from infomax import DIMLoss, FDivergence, GlobalDIMLoss, LocalDIMLoss
from infomax.estimators.build import names

C, D = 3, 4


def batch(*globals_: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return six examples. The second and the last are absent, with NaN locals and globals ten times as large."""
    local, global_ = randn(6, C, 2, 2), randn(6, D, *globals_, seed=1)
    mask = torch.rand(6, 2, 2, generator=torch.Generator().manual_seed(2)) < 0.7
    mask[:, 0, 0] = True
    for absent in (1, 5):
        mask[absent] = False
        global_[absent] *= 10
        local[absent] = torch.nan
    return local, global_, mask


def build(kind: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    options = {"dtype": torch.float64, **options}
    if kind == "local":
        return LocalDIMLoss(C, D, **options)
    if kind == "global":
        return GlobalDIMLoss(C, D, (2, 2), **options)
    return DIMLoss(C, D, (2, 2), alpha=0.5, beta=1.0, gamma=0.1, **options)


def outcome(loss: nn.Module, local: Tensor, global_: Tensor, mask: Tensor) -> dict[str, Tensor]:
    estimator = getattr(loss, "estimator", None)
    learns = not getattr(estimator, "fits_density", False)  # a density estimator refuses globals that need a gradient
    local, global_ = local.clone().requires_grad_(), global_.clone().requires_grad_(learns)
    value = loss(local, global_, mask, generator=torch.Generator().manual_seed(3))
    value = value.loss if isinstance(value, tuple) else value
    value.backward()
    found = {"loss": value.detach(), "local": local.grad, "global_": global_.grad}
    found |= {f"gradient of {name}": parameter.grad for name, parameter in loss.named_parameters()}
    found |= {name: buffer.clone() for name, buffer in loss.named_buffers()}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


CASES = [
    *(
        ("local", {"critic": "bilinear", "estimator": name})
        for name in names()
        if name not in ("club", "leave_one_out", "rkl")
    ),
    *(("local", {"critic": critic, "units": 8}) for critic in ("dot", "concat", "cosine")),
    ("local", {"critic": "gaussian", "estimator": "club", "units": 8}),
    ("local", {"critic": "bilinear", "estimator": FDivergence("rkl")}),
    ("local", {"critic": "dot", "units": 8, "sample_locations": 2, "sample_negatives": 2}),
    ("global", {"units": 8}),
    ("global", {"units": 8, "estimator": "dv"}),
    ("dim", {"units": 8}),
]


@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
@pytest.mark.parametrize("globals_", [(), (2,)])
def test_absent_is_as_if_never_given(kind: str, options: dict[str, Any], globals_: tuple[int, ...]) -> None:
    local, global_, mask = batch(*globals_)
    here = mask.flatten(1).any(1)
    expected = outcome(build(kind, **options), local[here], global_[here], mask[here])
    found = outcome(build(kind, **options), local, global_, mask)
    for name in {"local", "global_"} & found.keys():
        assert not found[name][~here].any(), f"gradient of {name} of an absent example"
        found[name] = found[name][here]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(found[name], value, 1e-10, name)


def test_the_smallest_case_reported() -> None:
    """With a bilinear critic, DV and six examples, scaling a global has no effect if all its locations are masked."""
    loss = build("local", critic="bilinear", estimator="dv")
    local, global_ = randn(6, C, 2, 2), randn(6, D, seed=1)
    mask = torch.ones(6, 2, 2, dtype=torch.bool)
    mask[-1] = False
    value = loss(local, global_, mask)
    global_[-1] *= 10
    assert loss(local, global_, mask) == value
    assert_close(loss(local[:-1], global_[:-1]), value, 1e-12)


@pytest.mark.parametrize("globals_", [(), (2, 2)])
def test_without_reduction_an_absent_example_is_0(globals_: tuple[int, ...]) -> None:
    local, global_, mask = batch(*globals_)
    here = mask.flatten(1).any(1)
    loss = build("local", critic="bilinear", reduction="none")
    found = loss(local, global_, mask)
    assert found.shape == (6, *globals_)
    assert not found[~here].any()
    assert_close(found[here], loss(local[here], global_[here], mask[here]), 1e-12)
