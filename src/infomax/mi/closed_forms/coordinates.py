"""From rows of one side to the canonical coordinates that a start reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from infomax.mi.closed_forms.lift import Lift
from infomax.mi.closed_forms.marginals import Marginals

__all__ = ["Coordinates"]


@dataclass(frozen=True)
class Coordinates:
    """A fixed map of rows, learnt on training rows.

    Args:
        marginals: of the side.
        dof: degrees of freedom of the scale of its coordinates.
        mean: taken off.
        to: (functions, coordinates), a linear map.
        lift: functions of the coordinates, of which linear ones are taken; the coordinates themselves when None.
    """

    marginals: Marginals
    dof: float
    mean: Tensor
    to: Tensor
    lift: Lift | None = None

    def __call__(self, values: Tensor) -> Tensor:
        """(n, coordinates), of values (n, d)."""
        functions = self.marginals.scores(values, self.dof) if self.lift is None else self.lift(values)
        seen: Tensor = (functions - self.mean) @ self.to
        return seen

    def first(self, coordinates: int | None) -> Coordinates:
        """Return the map to the first of the coordinates."""
        return replace(self, to=self.to[:, :coordinates].clone())
