"""Choices from a byte string, which a fuzzer can mutate, hypothesis can shrink and the corpus can store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["Source"]

_Choice = TypeVar("_Choice")
_RARE = 240  # of 256 bytes: about one fault per sixteen choices


class Source:
    """A reader of choices from bytes, mostly one byte per choice; after the last byte, it takes every first option.

    The first option is always the plain one, so that a short string is a valid call, and every further byte may make
    an argument invalid.

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
        """Return ``plain`` in half of all cases, otherwise one of the others."""
        value = self.byte()
        return plain if value < 128 else others[value % len(others)]

    def rarely(self) -> bool:
        """Return True for one byte in sixteen: whether to make something invalid."""
        return self.byte() >= _RARE

    def seed(self) -> int:
        """Return a seed for values that are drawn in bulk."""
        return self.byte() + 256 * self.byte()
