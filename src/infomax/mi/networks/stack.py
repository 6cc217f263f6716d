"""All folds together: the rows as each fold's maps transform them, and the scores of all members."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infomax.mi.closed_forms.elliptical import elliptical_score
from infomax.mi.closed_forms.rows import StartRows
from infomax.mi.closed_forms.start import Start
from infomax.mi.closed_forms.tables import looked_up
from infomax.mi.networks.features import SideFeatures
from infomax.mi.networks.network import StackedCritic

__all__ = ["Stack", "View"]

_WIDE_ALONE = 12  # coordinates of both sides up to which a narrow network would see nearly the same as a wide one


class View(NamedTuple):
    """One fold's maps of rows, learnt on its training rows and applied to all rows and to new ones."""

    start: Start
    features_x: SideFeatures
    features_y: SideFeatures


class Stack:
    """Rows, starts and features of every fold. Members are ordered by kind, and by fold within a kind.

    Args:
        x: (n, dx), all rows of x.
        y: (n, dy), all rows of y.
        views: the maps of each fold.
    """

    def __init__(self, x: Tensor, y: Tensor, views: list[View]) -> None:
        self.folds = len(views)
        self.dims = x.shape[1], y.shape[1]
        rows = [view.start.of(x, y) for view in views]
        self._start_x, self._start_y = _stacked([of_x for of_x, _ in rows]), _stacked([of_y for _, of_y in rows])
        self._dof = x.new_tensor([view.start.dof for view in views])
        self._offset = x.new_tensor([view.start.offset for view in views])
        self._tables = _padded([view.start.tables for view in views], 0)
        self._features_x = torch.stack([view.features_x(x) for view in views])
        self._features_y = torch.stack([view.features_y(y) for view in views])
        self.kinds = 1 if sum(self.dims) <= _WIDE_ALONE else 2
        self.fold = torch.arange(self.folds, device=x.device).repeat(self.kinds)
        self._seen_x = _masks(views[0].features_x.narrow, self.kinds, self.folds)
        self._seen_y = _masks(views[0].features_y.narrow, self.kinds, self.folds)

    @property
    def members(self) -> int:
        """Number of networks: kinds times folds."""
        return len(self.fold)

    @property
    def widths(self) -> tuple[int, int]:
        """Numbers of features of a row of x and of a row of y."""
        return self._features_x.shape[2], self._features_y.shape[2]

    def features(self, fold: int) -> tuple[Tensor, Tensor]:
        """Return the features of all rows, (kinds, n, p) for x and y, with 0 for those that a member does not see."""
        members = self.fold == fold
        return self._features_x[fold] * self._seen_x[members], self._features_y[fold] * self._seen_y[members]

    def pair_scores(self, fold: int, x_rows: Tensor, y_rows: Tensor) -> Tensor:
        """Score rows of x (n,), each paired with rows of y (n, K), by the start of one fold: (n, K), nats, float64."""
        x = StartRows(*(part[fold, x_rows] for part in self._start_x))
        met = StartRows(*(part[fold, y_rows] for part in self._start_y))
        return self._score(x, met, fold, self._dof[fold], self._offset[fold])

    def start_scores(self, rows: Tensor, partner: Tensor) -> Tensor:
        """Score pairs by each member's start.

        Args:
            rows: (M, n), rows of each member.
            partner: (n, K): row ``rows[m, b]`` of x is paired with row ``rows[m, partner[b, k]]`` of y.

        Returns:
            (M, n, K), nats, float32. The scores are computed in float64, because under strong dependence they are small
            differences of large squares.
        """
        at = self.fold[:, None], rows
        met_at = self.fold[:, None, None], rows[:, partner]
        x = StartRows(*(part[at] for part in self._start_x))
        met = StartRows(*(part[met_at] for part in self._start_y))
        fold = self.fold[:, None, None]
        return self._score(x, met, fold[..., None], self._dof[fold], self._offset[fold]).float()

    def _score(self, x: StartRows, met: StartRows, fold: int | Tensor, dof: Tensor, offset: Tensor) -> Tensor:
        product = (met.leading @ x.leading.unsqueeze(-1)).squeeze(-1)
        square = x.joint.unsqueeze(-1) + met.joint - product
        score = elliptical_score(x.square.unsqueeze(-1), met.square, square, dof, offset, self.dims)
        if not self._tables.shape[1]:
            return score
        return score + looked_up(self._tables, fold, x.places.unsqueeze(-2), met.places)

    def scores(self, critic: StackedCritic, rows: Tensor, partner: Tensor, start: Tensor | None = None) -> Tensor:
        """Score pairs by each member; ``start`` is the result of :meth:`start_scores` for these pairs, if known."""
        if start is None:
            start = self.start_scores(rows, partner)
        at = self.fold[:, None], rows
        of_x, of_y = critic.rows(self._features_x[at] * self._seen_x, self._features_y[at] * self._seen_y)
        return critic.pairs(of_x, of_y, partner, start)


def _masks(narrow: Tensor, kinds: int, folds: int) -> Tensor:
    """Return 0/1 masks (M, 1, p) of the features that members see: all, and for a second kind the narrow ones."""
    seen = torch.stack([torch.ones_like(narrow), narrow][:kinds])
    return seen.float().repeat_interleave(folds, 0).unsqueeze(1)


def _stacked(sides: list[StartRows]) -> StartRows:
    """Stack the rows of one side over all folds."""
    square, joint = (torch.stack([getattr(side, name) for side in sides]) for name in ("square", "joint"))
    leading, places = (_padded([getattr(side, name) for side in sides], 1) for name in ("leading", "places"))
    return StartRows(square, joint, leading, places)


def _padded(parts: list[Tensor], axis: int) -> Tensor:
    """Stack the folds' parts; parts that are shorter along ``axis`` are padded with 0."""
    most = max(part.shape[axis] for part in parts)
    whole = parts[0].new_zeros(len(parts), *parts[0].shape[:axis], most, *parts[0].shape[axis + 1 :])
    for fold, part in zip(whole, parts, strict=True):
        fold.narrow(axis, 0, part.shape[axis]).copy_(part)
    return whole
