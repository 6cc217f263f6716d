"""Under autocast, rows are cast once: all joint and marginal scores come from the same rows."""

from __future__ import annotations

import pytest
import torch
from contracts.layouts import randn
from tolerances import RELATIVE, assert_close

from infomax import functional as F
from infomax.pairs import pair_rows
from infomax.scores import StreamedScores


@pytest.mark.parametrize("examples", [100, 200])  # a sum takes pairs for 100 queries, and vectors for 200
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("lower", [torch.bfloat16, torch.float16])
def test_joint_scores_are_one_number_however_they_are_asked_for(
    examples: int, masked: bool, lower: torch.dtype
) -> None:
    local, global_ = randn(examples, 16, 2, dtype=torch.float32), randn(examples, 16, seed=1, dtype=torch.float32)
    mask = torch.ones(examples, 2, dtype=torch.bool)
    mask[::3, 1] = not masked
    with torch.autocast("cpu", dtype=lower):
        scores = [F.dot_scores(local, global_, mask if masked else None, 0.5) for _ in range(3)]
        found = [scores[0].joint(), scores[1].reduce("sum").joint, scores[2].reduce("logsumexp").joint]
    x, y = local.to(lower).double(), global_.to(lower).double()
    expected = (0.5 * torch.einsum("nu,nup->np", y, x))[mask]
    for joint in found:
        assert joint.dtype == torch.float32
        assert_close(joint, expected, RELATIVE[torch.float32], "joint scores of the cast rows")


def test_marginal_scores_come_from_the_same_rows() -> None:
    local, global_ = randn(12, 16, dtype=torch.float32), randn(12, 16, seed=1, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = F.dot_scores(local, global_)
    table = F.dense_scores(global_.bfloat16().double() @ local.bfloat16().double().T)
    for reduction in ("logsumexp", "softplus", "sum", "square_sum", "pearson"):
        # Read outside of autocast: the rows were cast when the scores were made.
        assert_close(scores.reduce(reduction).marginal, table.reduce(reduction).marginal, 1e-5, reduction)


def test_scores_that_must_not_be_rounded_say_so() -> None:
    local, global_ = randn(6, 16, dtype=torch.float32), randn(6, 16, seed=1, dtype=torch.float32)
    rows = pair_rows(local, global_)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = StreamedScores(rows.global_, rows.local, rows.pairing, autocast=False)
        found = scores.reduce("logsumexp")
    table = F.dense_scores(global_.double() @ local.double().T).reduce("logsumexp")
    assert_close(found.joint, table.joint, RELATIVE[torch.float32])
    assert_close(found.marginal, table.marginal, RELATIVE[torch.float32])
