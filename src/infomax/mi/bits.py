"""An estimate in bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Bits"]


@dataclass(frozen=True, eq=False, repr=False)
class Bits(float):
    r"""An estimate in bits, a float, with its interval and its bound in bits: 1 nat is :math:`1 / \log 2` bits.

    Args:
        bits: the estimate.
        low: lower end of its interval.
        high: upper end of its interval.
        bound: the bound that held-out critics give.
        bound_low: lower end of the bound's interval.
        bound_high: upper end of the bound's interval.

    Example:
        >>> bits = Bits(1.0, low=0.0, high=2.0, bound=0.5, bound_low=0.0, bound_high=1.5)
        >>> bits, bits.high
        (1.0, 2.0)
    """

    bits: float
    low: float
    high: float
    bound: float
    bound_low: float
    bound_high: float

    def __new__(cls, bits: float, **_: Any) -> Bits:  # noqa: PYI034 (typing.Self is Python 3.11's)
        """Return a float with the value of ``bits``."""
        return super().__new__(cls, bits)
