"""The losses under the transforms of torch.func."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from contracts.layouts import randn
from torch import Tensor

from infomax import LocalDIMLoss

CRITICS: dict[str, dict[str, Any]] = {
    "dot, evaluating": {"critic": "dot", "units": 4},
    "bilinear": {"critic": "bilinear"},
    "concat": {"critic": "concat", "units": 4},
}

# torch.func loads torch.jit, which is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.mark.parametrize("name", CRITICS)
def test_gradients_of_parameters(name: str) -> None:
    torch.manual_seed(0)
    loss_fn = LocalDIMLoss(3, 2, dtype=torch.float64, **CRITICS[name])
    if name == "dot, evaluating":
        loss_fn.eval()
    local, global_ = randn(4, 3, 2), randn(4, 2)
    held = {key: value.detach() for key, value in loss_fn.named_parameters()}

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(loss_fn, parameters, (local, global_))

    loss_fn(local, global_).backward()
    right = {"rtol": 1e-9, "atol": 1e-12}
    found = torch.func.grad(loss)(held)
    for key, parameter in loss_fn.named_parameters():
        torch.testing.assert_close(found[key], parameter.grad, **right)
    tangents = {key: torch.ones_like(value) for key, value in held.items()}
    _, along = torch.func.jvp(loss, (held,), (tangents,))
    torch.testing.assert_close(along, sum(value.sum() for value in found.values()), **right)


def test_batch_norm_in_training_mode_is_refused() -> None:
    loss_fn, local = LocalDIMLoss(3, 2, units=4), torch.randn(4, 3, 2)
    with pytest.raises(NotImplementedError, match="batch norm in training mode updates running statistics"):
        torch.func.grad(lambda global_: loss_fn(local, global_))(torch.randn(4, 2))
