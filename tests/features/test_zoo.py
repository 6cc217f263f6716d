"""Every encoder of the table trains through a tap, and the table on the page is the one that the run writes."""

from __future__ import annotations

import pytest
from features import zoo

pytestmark = pytest.mark.filterwarnings("default")  # the libraries warn


@pytest.mark.parametrize("case", zoo.CASES, ids=lambda case: f"{case.library} {case.name}")
def test_an_encoder_of_the_table(case) -> None:
    if case.library != "torch":
        pytest.importorskip(case.library)
    row = zoo.run(case)
    assert row.loss.isfinite()
    assert row.first.grad is not None
    assert row.first.grad.any()
    lines = zoo.written().splitlines()
    assert zoo.table({case: row}).splitlines()[-1] in lines, "run python tests/features/zoo.py"
    assert len(lines) == len(zoo.CASES) + 2
