"""Other libraries, where they are installed."""

from __future__ import annotations

from types import ModuleType

import pytest


def peer(name: str) -> ModuleType:
    """A module of another library; the test is skipped where that is missing."""
    return pytest.importorskip(name, reason=f"{name.split('.', maxsplit=1)[0]} is not installed")
