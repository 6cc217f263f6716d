"""Errors for features, masks and tables that cannot be paired: argument, rule, value received, and what to do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from infomax import functional as F
from infomax.pairs import pair_rows, rows_of
from infomax.scores import ClippedScores

NOT_FLOATING = [torch.int64, torch.bool, torch.complex64]


class TestRefusals:
    """Each error names the argument, the rule and the value received, and says what to do."""

    @pytest.mark.parametrize(
        ("local", "global_", "mask", "error", "message"),
        [
            (torch.zeros(4), torch.zeros(4, 3), None, ValueError, r"local must have shape \(N, channels.*got \(4,\)"),
            (torch.zeros(4, 3), torch.zeros(()), None, ValueError, r"global_ must have shape \(N.*got \(\)"),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(5, 3),
                None,
                ValueError,
                r"same examples.*4 from \(4, 3, 2\) and 5 from \(5, 3\)",
            ),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 7),
                None,
                ValueError,
                r"same channels.*3 from \(4, 3, 2\) and 7 from \(4, 7\).*DotCritic",
            ),
            (torch.zeros(1, 3, 2), torch.zeros(1, 3), None, ValueError, "at least 2 examples, got 1.*as negatives"),
            (torch.zeros(0, 3, 2), torch.zeros(0, 3), None, ValueError, "at least 2 examples, got 0"),
            (
                torch.zeros(4, 3, 0),
                torch.zeros(4, 3),
                None,
                ValueError,
                r"local must have at least one .*location, got \(4, 3, 0\)",
            ),
            (torch.zeros(4, 0), torch.zeros(4, 0), None, ValueError, r"local must have at least one channel"),
            (torch.zeros(4, 3), torch.zeros(4, 3, 0), None, ValueError, r"global_ must have at least one"),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 3, device="meta"),
                None,
                ValueError,
                "local and global_ must be on the same device, got local on cpu, global_ on meta",
            ),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 3),
                torch.ones(4, 2, dtype=torch.bool, device="meta"),
                ValueError,
                "same device.*mask on meta",
            ),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 3),
                torch.zeros(4, 2, dtype=torch.bool),
                ValueError,
                "mask must leave real locations in at least 2 examples, got 0 of 4.*negatives",
            ),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 3),
                torch.tensor([[True, True], [False, False], [False, False], [False, False]]),
                ValueError,
                "got 1 of 4",
            ),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 3),
                torch.ones(4, 3, dtype=torch.bool),
                ValueError,
                r"mask must have the shape \(4, 2\) to fit local \(4, 3, 2\), got \(4, 3\)",
            ),
            (torch.zeros(4, 3, 2), torch.zeros(4, 3), torch.ones(4, 2), TypeError, "mask must be a bool.*float32"),
            (torch.zeros(4, 3, 2), torch.zeros(4, 3), [[True] * 2] * 4, TypeError, "mask must be a bool.*got list"),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 3),
                np.ones((4, 2), dtype=bool),
                TypeError,
                "mask must be a bool.*got ndarray",
            ),
            ([[1.0]], torch.zeros(4, 3), None, TypeError, "local must be a torch.Tensor, got list"),
            (torch.zeros(4, 3), None, None, TypeError, "global_ must be a torch.Tensor, got NoneType"),
        ],
    )
    def test_dot_scores(self, local: Any, global_: Any, mask: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            F.dot_scores(local, global_, mask)

    @pytest.mark.parametrize("dtype", NOT_FLOATING)
    def test_dtypes(self, dtype: torch.dtype) -> None:
        good, bad = torch.zeros(4, 3), torch.zeros(4, 3, dtype=dtype)
        with pytest.raises(TypeError, match=f"local must have a real floating dtype, got {dtype}"):
            F.dot_scores(bad, good)
        with pytest.raises(TypeError, match=f"global_ must have a real floating dtype, got {dtype}"):
            F.dot_scores(good, bad)
        with pytest.raises(TypeError, match=f"table must have a real floating dtype, got {dtype}"):
            F.dense_scores(bad[:3])

    @pytest.mark.parametrize(
        ("table", "mask", "error", "message"),
        [
            (torch.zeros(3, 4), None, ValueError, r"table must have shape \(N, N\) or \(N, Q, N, P\), got \(3, 4\)"),
            (torch.zeros(3, 3, 3), None, ValueError, r"table must have shape"),
            (torch.zeros(3, 2, 3, 0), None, ValueError, r"table must have shape.*got \(3, 2, 3, 0\)"),
            (torch.zeros(1, 1), None, ValueError, "table must hold at least 2 examples, got 1.*as negatives"),
            (torch.zeros(3, 3), torch.ones(3, dtype=torch.bool), ValueError, r"shape \(3, 1\) to fit table.*\(3,\)"),
            (torch.zeros(3, 3), torch.zeros(3, 1, dtype=torch.bool), ValueError, "got 0 of 3"),
            (torch.zeros(3, 3), torch.ones(3, 1), TypeError, "mask must be a bool tensor"),
            (torch.zeros(3, 3), [[True]] * 3, TypeError, "mask must be a bool tensor.*got list"),
            ([[0.0]], None, TypeError, "table must be a torch.Tensor, got list"),
        ],
    )
    def test_dense_scores(self, table: Any, mask: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            F.dense_scores(table, mask)

    def test_reductions(self) -> None:
        scores = F.dense_scores(torch.zeros(3, 3))
        with pytest.raises(ValueError, match=r"reduction must be one of .*logsumexp.*got 'mean'"):
            scores.reduce("mean")  # type: ignore[arg-type]
        for clip, message in ((-1.0, "clip must be positive, got -1"), (math.inf, "clip must be finite, got inf")):
            with pytest.raises(ValueError, match=message):
                ClippedScores(scores, clip)
        with pytest.raises(TypeError, match="clip must be a number, got str"):
            F.smile_estimate(scores, clip="5")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="scale must be a number, got str"):
            F.dot_scores(torch.zeros(3, 3), torch.zeros(3, 3), scale="2")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["batch", "group"])
def test_what_is_read_by_value_must_hold_values(name: str) -> None:
    integers = {name: torch.zeros(4, dtype=torch.int64, device="meta")}
    local = torch.zeros(4, 3, device="meta") if name == "batch" else torch.zeros(4, 3, 2, device="meta")
    with pytest.raises(ValueError, match=f"{name} must hold values, got a tensor on the meta device"):
        pair_rows(local, torch.zeros(4, 5, device="meta"), **integers)


@pytest.mark.parametrize(
    ("features", "kind", "said"),
    [
        (3, TypeError, "features must be a torch.Tensor, got int"),
        (torch.zeros(4, 3).to_sparse(), TypeError, "features must be a dense tensor, got layout torch.sparse_coo"),
        (torch.zeros(4), ValueError, r"features must have shape \(N, c\) or \(N, c, \*spatial\), got \(4,\)"),
        (torch.zeros(()), ValueError, r"got \(\)"),
    ],
    ids=repr,
)
def test_what_has_no_rows_is_refused(features: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        rows_of(features)


@pytest.mark.parametrize(
    ("name", "count", "kind", "said"),
    [
        ("sample_locations", -1, ValueError, "at least 1, got -1"),
        ("sample_locations", [2], TypeError, "an integer, got list"),
        ("sample_negatives", -1, ValueError, "between 1 and 3"),
        ("sample_negatives", [2], TypeError, "an integer, got list"),
    ],
)
def test_numbers_to_draw(name: str, count: Any, kind: type[Exception], said: str) -> None:
    local, global_ = torch.zeros(4, 3, 5), torch.zeros(4, 2)
    with pytest.raises(kind, match=f"{name} must be {said}"):
        pair_rows(local, global_, **{name: count})
