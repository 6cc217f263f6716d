"""The training script, as several files of tests call it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "reproduction"


@pytest.fixture(scope="module")
def train_dim() -> Iterator[ModuleType]:
    """The script as a module: a call of its ``main`` costs no new interpreter."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        import train_dim

        yield train_dim
    finally:
        sys.path.remove(str(EXAMPLES))
