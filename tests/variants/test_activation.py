"""The activation penalty: the mean squared length of real feature vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from contracts.layouts import randn
from tolerances import assert_close

from infomax.variants import activation_penalty


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (2, 3, 2, 2)])
def test_equals_the_loops(shape: tuple[int, ...]) -> None:
    features = randn(*shape)
    vectors = np.moveaxis(features.numpy(), 1, -1).reshape(-1, shape[1])
    assert_close(activation_penalty(features), np.mean([vector @ vector for vector in vectors]), 1e-12)


def test_what_is_masked_is_absent() -> None:
    mask = torch.tensor([[True, False, True], [True, False, False]])
    features = randn(2, 4, 3)
    expected = torch.stack([features[0, :, 0], features[0, :, 2], features[1, :, 0]]).square().sum(1).mean()
    for filling in (0.0, 1e200, torch.inf, torch.nan):
        filled = features.masked_fill(~mask[:, None], filling).requires_grad_()
        value = activation_penalty(filled, mask)
        assert_close(value, expected, 1e-12)
        (gradient,) = torch.autograd.grad(value, filled)
        assert_close(gradient, torch.where(mask[:, None], 2 * features / 3, 0.0), 1e-12)


def test_gradients_in_double_precision() -> None:
    features = randn(2, 3, 2).requires_grad_()
    mask = torch.tensor([[True, False], [True, True]])
    assert torch.autograd.gradcheck(lambda x: activation_penalty(x, mask), features)
    assert torch.autograd.gradgradcheck(activation_penalty, features)


def test_it_is_float32_at_least() -> None:
    large = torch.full((2, 4), 300.0, dtype=torch.float16)  # the square of 300 is beyond float16
    assert_close(activation_penalty(large), 4 * 9e4, 1e-6)
    assert activation_penalty(randn(2, 3)).dtype == torch.float64


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: activation_penalty(torch.zeros(4)), ValueError, r"features must have shape .*got \(4,\)"),
        (lambda: activation_penalty(torch.zeros(0, 4)), ValueError, r"features must have shape .*got \(0, 4\)"),
        (lambda: activation_penalty(torch.zeros(2, 4).int()), TypeError, "features must have a real floating dtype"),
        (lambda: activation_penalty(torch.zeros(2, 4, 3), torch.ones(2, 3)), TypeError, "mask must be a bool"),
        (
            lambda: activation_penalty(torch.zeros(2, 4, 3), torch.ones(2, 4) > 0),
            ValueError,
            r"mask must have the shape \(2, 3\)",
        ),
        (lambda: activation_penalty(torch.zeros(2, 4, 3), torch.ones(2, 3) < 0), ValueError, "at least one real"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
