"""What is fuzzed: a module per surface, whose ``run`` reads a call off a source of choices."""

from __future__ import annotations

from importlib import import_module

from fuzz.oracle import Refused
from fuzz.source import Source

__all__ = ["run"]


def run(name: str, data: bytes) -> bool:
    """Make the calls that a byte string stands for.

    Args:
        name: of the target.
        data: the bytes.

    Returns:
        Whether all calls gave a result; False where the library refused one.

    Raises:
        Finding: a call ended as it must not.
    """
    target = import_module(f"{__package__}.{name}")
    try:
        target.run(Source(data))
    except Refused:
        return False
    return True
