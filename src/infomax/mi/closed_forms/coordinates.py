"""The map from rows of one side to the canonical coordinates that a start reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from infomax.mi.closed_forms.lift import Lift
from infomax.mi.closed_forms.marginals import Marginals

__all__ = ["Coordinates"]


@dataclass(frozen=True)
class Coordinates:
    """A map from rows to canonical coordinates, learnt on training rows and then fixed.

    Args:
        marginals: the map of each coordinate of this side by itself.
        dof: degrees of freedom of the Student-t scale of the coordinates; infinite for the normal scale.
        mean: (functions,), subtracted before the linear map.
        to: (functions, coordinates), the linear map.
        lift: functions of the coordinates, to which the linear map is applied; when None, it is applied to the
            coordinates themselves.
    """

    marginals: Marginals
    dof: float
    mean: Tensor
    to: Tensor
    lift: Lift | None = None

    def __call__(self, values: Tensor) -> Tensor:
        """Return the canonical coordinates (n, coordinates) of values (n, d)."""
        functions = self.marginals.scores(values, self.dof) if self.lift is None else self.lift(values)
        seen: Tensor = (functions - self.mean) @ self.to
        return seen

    def first(self, coordinates: int | None) -> Coordinates:
        """Return the map to the first ``coordinates`` canonical coordinates, or to all of them when None."""
        return replace(self, to=self.to[:, :coordinates].clone())
