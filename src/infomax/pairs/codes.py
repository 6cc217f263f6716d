"""Integers that stand for texts, so that processes can compare what they have in one exchange."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

__all__ = ["check_agree", "code_of", "codes_of", "listed"]


def codes_of(settings: Mapping[str, str]) -> list[int]:
    """Return a code for each setting, the same on every process that has the same text."""
    return [code_of(text) for text in settings.values()]


def check_agree(settings: Mapping[str, str], codes: list[list[int]], rank: int) -> None:
    """Raise ``ValueError`` if settings differ between processes.

    Args:
        settings: the settings of this process, by name.
        codes: the :func:`codes_of` the settings of each process.
        rank: rank of this process.
    """
    for place, (name, text) in enumerate(settings.items()):
        others = [other for other, theirs in enumerate(codes) if theirs[place] != codes[rank][place]]
        if others:
            raise ValueError(
                f"{name} must be the same on every process with gather=True, but rank {listed(others)} "
                f"differs from rank {rank}, which has {text}; the error of the other process says what it has"
            )


def code_of(text: str) -> int:
    """Return an integer that is the same on every process for the same text."""
    return zlib.crc32(text.encode())  # `hash` of a text differs between processes


def listed(ranks: list[int]) -> str:
    """Return ranks as they stand in a message."""
    return ", ".join(map(str, ranks))
