"""All folds side by side: the rows as each fold's transforms show them, and the scores of its members."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as nnf

from infomax.mi.closed_forms.elliptical import EllipticalRows, elliptical_score
from infomax.mi.closed_forms.marginals import Marginals
from infomax.mi.closed_forms.start import LEADING, Start
from infomax.mi.input.folds import Fold
from infomax.mi.networks.features import side_features
from infomax.mi.networks.network import StackedCritic

__all__ = ["Stack"]

_WIDE_ALONE = 12  # coordinates in all up to which a network that sees fewer would see nearly the same


class Stack:
    """Rows, starts and features of every fold; members are numbered kind by kind, fold by fold.

    Args:
        x: (n, dx), all rows.
        y: (n, dy).
        folds: the parts.
        marginals: of both sides, a pair a fold.
        starts: one a fold.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        folds: list[Fold],
        marginals: list[tuple[Marginals, Marginals]],
        starts: list[Start],
    ) -> None:
        self.folds = len(folds)
        self.dims = x.shape[1], y.shape[1]
        of_x, of_y = zip(*(start.rows() for start in starts), strict=True)
        self._start_x, self._start_y = _stacked(of_x), _stacked(of_y)
        self._dof = torch.tensor([start.dof for start in starts], dtype=x.dtype, device=x.device)
        self._offset = torch.tensor([start.offset for start in starts], dtype=x.dtype, device=x.device)
        features_x, features_y = [], []
        for fold, (side_x, side_y), start in zip(folds, marginals, starts, strict=True):
            features_x.append(side_features(side_x, _first(start.white_x), x, fold.train))
            features_y.append(side_features(side_y, _first(start.white_y), y, fold.train))
        self._features_x = torch.stack([features for features, _ in features_x])
        self._features_y = torch.stack([features for features, _ in features_y])
        self.kinds = 1 if sum(self.dims) <= _WIDE_ALONE else 2
        self.fold = torch.arange(self.folds, device=x.device).repeat(self.kinds)
        self._seen_x = _masks(features_x[0][1], self.kinds, self.folds)
        self._seen_y = _masks(features_y[0][1], self.kinds, self.folds)

    @property
    def members(self) -> int:
        """Networks: kinds times folds."""
        return len(self.fold)

    @property
    def widths(self) -> tuple[int, int]:
        """Features of a row of x and of y."""
        return self._features_x.shape[2], self._features_y.shape[2]

    def features(self, fold: int) -> tuple[Tensor, Tensor]:
        """Features of all rows as the members of one fold see them, (kinds, n, p) of x and of y."""
        members = self.fold == fold
        return self._features_x[fold] * self._seen_x[members], self._features_y[fold] * self._seen_y[members]

    def pair_scores(self, fold: int, x_rows: Tensor, y_rows: Tensor) -> Tensor:
        """Score pairs of rows x (n,) and y (n, K) by the start of one fold: (n, K), nats, float64."""
        x = EllipticalRows(*(part[fold, x_rows] for part in self._start_x))
        met = EllipticalRows(*(part[fold, y_rows] for part in self._start_y))
        return self._score(x, met, self._dof[fold], self._offset[fold])

    def start_scores(self, rows: Tensor, partner: Tensor) -> Tensor:
        """Score pairs by each member's start.

        Args:
            rows: (M, n), rows for each member.
            partner: (n, K): row ``rows[m, b]`` of x is paired with row ``rows[m, partner[b, k]]`` of y.

        Returns:
            (M, n, K), nats, float32. They are computed in float64, because strong dependence is a small difference of
            large squares.
        """
        at = self.fold[:, None], rows
        met_at = self.fold[:, None, None], rows[:, partner]
        x = EllipticalRows(*(part[at] for part in self._start_x))
        met = EllipticalRows(*(part[met_at] for part in self._start_y))
        dof, offset = self._dof[self.fold][:, None, None], self._offset[self.fold][:, None, None]
        return self._score(x, met, dof, offset).float()

    def _score(self, x: EllipticalRows, met: EllipticalRows, dof: Tensor, offset: Tensor) -> Tensor:
        product = (met.leading @ x.leading.unsqueeze(-1)).squeeze(-1)
        square = x.joint.unsqueeze(-1) + met.joint - product
        return elliptical_score(x.square.unsqueeze(-1), met.square, square, dof, offset, self.dims)

    def scores(self, critic: StackedCritic, rows: Tensor, partner: Tensor, start: Tensor | None = None) -> Tensor:
        """Score pairs by each member, as :meth:`start_scores` does by the starts; ``start`` are those, if known."""
        if start is None:
            start = self.start_scores(rows, partner)
        at = self.fold[:, None], rows
        of_x, of_y = critic.rows(self._features_x[at] * self._seen_x, self._features_y[at] * self._seen_y)
        members, n, width = of_x.shape
        met = of_x.unsqueeze(2) + of_y[:, partner]
        return critic.pairs(met.view(members, -1, width), start.reshape(members, -1)).view(members, n, -1)


def _first(white: Tensor) -> Tensor:
    return nnf.pad(white[:, :LEADING], (0, max(0, LEADING - white.shape[1])))


def _masks(narrow: Tensor, kinds: int, folds: int) -> Tensor:
    """What the members of each kind see, (M, 1, p): everything, and for a second kind what is narrow."""
    seen = torch.stack([torch.ones_like(narrow), narrow][:kinds])
    return seen.float().repeat_interleave(folds, 0).unsqueeze(1)


def _stacked(sides: tuple[EllipticalRows, ...]) -> EllipticalRows:
    """One side of all folds; folds that keep fewer coordinates are filled up with 0."""
    rank = max(side.leading.shape[1] for side in sides)
    return EllipticalRows(
        torch.stack([side.square for side in sides]),
        torch.stack([side.joint for side in sides]),
        torch.stack([nnf.pad(side.leading, (0, rank - side.leading.shape[1])) for side in sides]),
    )
