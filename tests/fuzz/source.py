"""From a byte string to choices: what a fuzzer mutates, hypothesis shrinks and the corpus keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["Source"]

_Choice = TypeVar("_Choice")
_RARE = 240  # of 256: about one fault in a call of sixteen choices


class Source:
    """Choices read off bytes, one byte each in most cases; where the bytes end, every choice is its first option.

    Options are listed with the plain one first, so that a short string is a valid call and every byte more may spoil
    something.

    Args:
        data: the bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """Return the next byte, or 0 after the last."""
        value = self._data[self._at] if self._at < len(self._data) else 0
        self._at += 1
        return value

    def below(self, stop: int) -> int:
        """Return an integer in [0, stop), stop at most 256."""
        return self.byte() % stop

    def choice(self, options: Sequence[_Choice]) -> _Choice:
        """Return one of the options."""
        return options[self.below(len(options))]

    def likely(self, plain: _Choice, others: Sequence[_Choice]) -> _Choice:
        """Return ``plain``, or in half of all cases one of the others."""
        value = self.byte()
        return plain if value < 128 else others[value % len(others)]

    def rarely(self) -> bool:
        """Return True once in sixteen times: whether to spoil something."""
        return self.byte() >= _RARE

    def seed(self) -> int:
        """Return the seed of what is drawn in bulk."""
        return self.byte() + 256 * self.byte()
