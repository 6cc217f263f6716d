"""A start where one side is labels: the class probabilities of a softmax regression on the other side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf

from infomax.mi.closed_forms.marginals import Marginals
from infomax.mi.closed_forms.rows import StartRows
from infomax.mi.input.sides import which_of

__all__ = ["LabelHead", "fit_head"]

_WAVES = 300  # random Fourier features of a Gaussian kernel
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)
_ITERATIONS = 60
# With these tolerances of L-BFGS, the loss is within 0.001 nats of its minimum.
_GRADIENT_TOLERANCE = 1e-4
_CHANGE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class LabelHead:
    r"""A critic of rows and labels, :math:`T(x, c) = \log q(c \mid x) - \log p(c)`.

    Args:
        marginals: the map of each coordinate of the side without labels.
        waves: slopes (d, features) and phases (features,) of random Fourier features of a Gaussian kernel.
        weights: (1 + d + features, L), weights of the softmax regression.
        levels: (L, columns), the distinct rows of the side of labels.
        log_shares: (L,), log p(c) on the training rows.
        of_y: whether y is the side of labels.
    """

    marginals: Marginals
    waves: tuple[Tensor, Tensor]
    weights: Tensor
    levels: Tensor
    log_shares: Tensor
    of_y: bool

    def rows(self, x: Tensor, y: Tensor) -> tuple[StartRows, StartRows]:
        """Return both sides in the form of an elliptical score, with this critic as the inner product."""
        values, labels = (x, y) if self.of_y else (y, x)
        told = (
            torch.log_softmax(_functions(self.marginals.scores(values), self.waves) @ self.weights, 1) - self.log_shares
        )
        named = which_of(labels, self.levels).to(told.dtype)
        zero, none = told.new_zeros(len(told)), told.new_zeros(len(told), 0, dtype=torch.int64)
        sides = [StartRows(zero, zero, part, none) for part in (2 * told, named)]
        return (sides[0], sides[1]) if self.of_y else (sides[1], sides[0])


def fit_head(
    marginals: Marginals, values: Tensor, labels: Tensor, train: Tensor, validation: Tensor, *, of_y: bool
) -> LabelHead:
    """Fit the regression on training rows; the validation rows choose the strength of the ridge penalty.

    Args:
        marginals: the map of each coordinate of the side without labels.
        values: (n, d), the side without labels.
        labels: (n, columns), the side of labels.
        train: training rows.
        validation: validation rows.
        of_y: whether y is the side of labels.
    """
    generator = torch.Generator().manual_seed(0)
    levels, codes = torch.unique(labels[train], dim=0, return_inverse=True)
    scores = marginals.scores(values)
    width = scores.shape[1]
    slopes = torch.randn(width, _WAVES, generator=generator, dtype=torch.float64) / math.sqrt(2 * width)
    phases = 2 * math.pi * torch.rand(_WAVES, generator=generator, dtype=torch.float64)
    waves = slopes.to(values.device), phases.to(values.device)
    shares = codes.bincount(minlength=len(levels)).double() / len(codes)
    known = which_of(labels[validation], levels)
    of_train, of_validation = (_functions(scores[rows], waves) for rows in (train, validation))
    best_loss = math.inf
    best = weights = of_train.new_zeros(of_train.shape[1], len(levels))
    for ridge in reversed(_RIDGES):
        weights = _regression(of_train, codes, weights, ridge)
        loss = float(-(torch.log_softmax(of_validation @ weights, 1) * known).sum(1).mean())
        if loss < best_loss:
            best, best_loss = weights, loss
    return LabelHead(marginals, waves, best, levels, shares.log(), of_y)


def _functions(scores: Tensor, waves: tuple[Tensor, Tensor]) -> Tensor:
    slopes, phases = waves
    one = scores.new_ones(len(scores), 1)
    return torch.cat([one, scores / math.sqrt(scores.shape[1]), torch.cos(scores @ slopes + phases) / 10], 1)


def _regression(functions: Tensor, codes: Tensor, first: Tensor, ridge: float) -> Tensor:
    weights = first.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=_ITERATIONS,
        history_size=10,
        tolerance_grad=_GRADIENT_TOLERANCE,
        tolerance_change=_CHANGE_TOLERANCE,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nnf.cross_entropy(functions @ weights, codes) + ridge / 2 * weights[1:].square().sum()
        torch.autograd.backward(loss)
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weights.detach()
