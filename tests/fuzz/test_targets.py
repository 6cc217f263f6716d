"""Every target on its corpus, on inputs of hypothesis, and the oracle on what it must refuse."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import NAMES
from fuzz.corpus import stored
from fuzz.targets import run


@pytest.mark.parametrize("name", NAMES)
def test_corpus(name: str) -> None:
    for data in stored(name):
        run(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_search(name: str) -> None:
    @settings(
        max_examples=100 if name == "information" else 400, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.binary(max_size=96))
    def search(data: bytes) -> None:
        run(name, data)

    search()
