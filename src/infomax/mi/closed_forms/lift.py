"""Functions of several coordinates, whose canonical correlations also find nonlinear dependence."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from infomax.mi.closed_forms.marginals import Marginals, Ranks

__all__ = ["LIFTS", "Lift"]

LIFTS = ("radial", "polynomial")
_FUNCTIONS_OF_RADIUS = 60
_MONOMIALS = 60
_HIGHEST_DEGREE = 8


class Lift:
    """A dictionary of functions of one side's coordinates; a start uses linear combinations of them.

    ``"radial"`` holds the product of every coordinate with polynomials of the radius. These describe a map that rotates
    or stretches with the distance from the centre. ``"polynomial"`` adds products of polynomials of single coordinates,
    up to the highest total degree that keeps the dictionary small.

    Args:
        kind: ``"radial"`` or ``"polynomial"``.
        marginals: the map of each coordinate of this side by itself.
        train: (n, d), training rows.
    """

    def __init__(self, kind: str, marginals: Marginals, train: Tensor) -> None:
        self._marginals = marginals
        self._radius = Ranks(_radius(marginals.scores(train)))
        self._terms = _monomials(marginals.dim) if kind == "polynomial" else []

    def __call__(self, values: Tensor) -> Tensor:
        """Return the values of the functions (n, functions) at values (n, d)."""
        scores = self._marginals.scores(values)
        radius = self._radius.flat(_radius(scores))
        degree = min(_HIGHEST_DEGREE, max(2, _FUNCTIONS_OF_RADIUS // scores.shape[1]))
        parts = [scores * polynomial for polynomial in _legendre(radius, degree)]
        if self._terms:
            flat = self._marginals.flat(values)
            powers = list(_legendre(flat, max(sum(term) for term in self._terms)))
            parts += [
                torch.stack([powers[degree][:, i] for i, degree in enumerate(term)]).prod(0)[:, None]
                for term in self._terms
            ]
        return torch.cat(parts, 1)


def _radius(scores: Tensor) -> Tensor:
    return scores.square().sum(1, keepdim=True)


def _legendre(values: Tensor, degree: int) -> list[Tensor]:
    """Return the Legendre polynomials of degree 0 to ``degree``."""
    found = [torch.ones_like(values), values]
    for k in range(1, degree):
        found.append(((2 * k + 1) * values * found[k] - k * found[k - 1]) / (k + 1))
    return found[: degree + 1]


def _monomials(dim: int) -> list[tuple[int, ...]]:
    """Return the products as the degrees of each coordinate, by ascending total degree, at most 60 products."""
    found: list[tuple[int, ...]] = []
    for degree in range(1, _HIGHEST_DEGREE + 1):
        chosen = list(combinations_with_replacement(range(dim), degree)) if _few(dim, degree) else []
        if not chosen or len(found) + len(chosen) > _MONOMIALS:
            break
        found += [tuple(term.count(i) for i in range(dim)) for term in chosen]
    return found


def _few(dim: int, degree: int) -> bool:
    return degree * math.log(dim) <= math.log(100 * _MONOMIALS)
