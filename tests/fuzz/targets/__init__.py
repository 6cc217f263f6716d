"""The fuzz targets: one module per part of the library, whose ``run`` makes calls from a source of choices."""

from __future__ import annotations

from importlib import import_module

from fuzz.oracle import Refused
from fuzz.source import Source

__all__ = ["run"]


def run(name: str, data: bytes) -> bool:
    """Make the calls that a byte string encodes.

    Args:
        name: name of the target.
        data: the bytes.

    Returns:
        True if all calls gave a result, False if the library refused one of them.

    Raises:
        Finding: a call ended in a way that is not allowed.
    """
    target = import_module(f"{__package__}.{name}")
    try:
        target.run(Source(data))
    except Refused:
        return False
    return True
