"""An estimate in bits."""

from __future__ import annotations

import math

__all__ = ["Bits"]


class Bits(float):
    r"""A float in bits, with the ends of its interval and the bound in bits too: 1 nat is :math:`1 / \log 2` bits.

    Args:
        nats: the estimate.
        low: lower end of its interval, nats.
        high: upper end, nats.
        bound: what critics prove, nats.
        bound_low: lower end of the bound's interval, nats.
        bound_high: upper end, nats.

    Example:
        >>> bits = Bits(math.log(2), low=0.0, high=math.log(4), bound=0.0, bound_low=0.0, bound_high=0.0)
        >>> bits, bits.high
        (1.0, 2.0)
    """

    low: float
    high: float
    bound: float
    bound_low: float
    bound_high: float

    def __new__(  # noqa: PYI034 (typing.Self is Python 3.11's)
        cls, nats: float, *, low: float, high: float, bound: float, bound_low: float, bound_high: float
    ) -> Bits:
        """Turn nats into bits."""
        self = super().__new__(cls, nats / math.log(2))
        self.low, self.high = low / math.log(2), high / math.log(2)
        self.bound = bound / math.log(2)
        self.bound_low, self.bound_high = bound_low / math.log(2), bound_high / math.log(2)
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[float], dict[str, float]]:
        """What a copy is made of, in nats."""
        ends = {name: value * math.log(2) for name, value in vars(self).items()}
        return (float(self) * math.log(2),), ends
