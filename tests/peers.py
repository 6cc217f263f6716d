"""Other libraries, which may not be installed."""

from __future__ import annotations

from types import ModuleType

import pytest


def peer(name: str) -> ModuleType:
    """Return a module of another library, or skip the test if that library is not installed."""
    return pytest.importorskip(name, reason=f"{name.split('.', maxsplit=1)[0]} is not installed")
