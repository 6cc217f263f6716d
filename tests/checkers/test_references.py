"""`assert_close` rejects wrong values, and the reference loops give values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
import score_tables
import torch
from checkers.refusals import refuses
from tolerances import assert_close


def test_tolerances_refuse() -> None:
    assert_close(torch.ones(3), torch.ones(3), 0.0)
    refuses(lambda: assert_close(torch.tensor([1.0, math.nan]), torch.ones(2), 1e9), "off by")
    refuses(lambda: assert_close(torch.tensor(math.inf), torch.tensor(math.inf), 1e9))
    refuses(lambda: assert_close(1.0 + 1e-9, 1.0, 1e-10))
    refuses(lambda: assert_close(torch.ones(3), torch.ones(1), 1.0), "shape")


def test_loops_are_not_circular() -> None:
    """The reference loops are checked against a few values computed by hand."""
    table = np.log(np.array([[4.0, 1.0], [3.0, 2.0]]))[:, None, :, None]
    pairs = score_tables.pairs_of(table)
    assert [math.exp(score.real) for score, _ in pairs.joint] == pytest.approx([4, 2])
    assert {owner: math.exp(scores[0].real) for owner, scores in pairs.marginal.items()} == {
        (0, 0): pytest.approx(1),
        (1, 0): pytest.approx(3),
    }
    assert oracles.infonce_loss(pairs).real == pytest.approx((math.log(5 / 4) + math.log(5 / 2)) / 2)
    assert oracles.infonce_estimate(pairs).real == pytest.approx(math.log(2) - math.log(12.5 / 4) / 2)
    assert oracles.dv_estimate(pairs).real == pytest.approx(math.log(8) / 2 - math.log(2))
    assert oracles.jsd_loss(pairs).real == pytest.approx(math.log(5 / 4 * 3 / 2) / 2 + math.log(2 * 4) / 2)
    assert oracles.nwj_estimate(pairs).real == pytest.approx(math.log(8) / 2 - 2 / math.e)
    assert oracles.rkl_loss(pairs).real == pytest.approx(3 / 8 + math.log(3) / 2 - 1)
    assert oracles.hellinger_loss(pairs).real == pytest.approx(3 / 8 - 1 + 2 - 1)
    assert oracles.chi2_loss(pairs).real == pytest.approx(math.log(3) ** 2 / 8 + math.log(3) / 2 - math.log(8) / 2)
    assert oracles.tuba_estimate(pairs).real == pytest.approx(1 + math.log(8) / 2 - 2)
    assert oracles.tuba_estimate(pairs, lambda owner: math.log(2)).real == pytest.approx(math.log(2) / 2)
    alpha = (math.log(4 / (1.25 + 0.5)) + math.log(2 / (1.25 + 0.5))) / 2 - (1 / (0.5 + 0.5) + 3 / (1.5 + 0.5)) / 2
    assert oracles.alpha_tuba_estimate(pairs).real == pytest.approx(1 + alpha)
    assert oracles.flo_loss(pairs, lambda t: 0j).real == pytest.approx((1 / 4 + 3 / 2) / 2 - 1)
    assert oracles.club_estimate(pairs).real == pytest.approx((math.log(8) - math.log(3)) / 2)
    assert oracles.leave_one_out_estimate(pairs).real == pytest.approx((math.log(4) + math.log(2 / 3)) / 2)
    assert oracles.likelihood_loss(pairs).real == pytest.approx(-math.log(8) / 2)
    assert oracles.smile_estimate(pairs, 0.5).real == pytest.approx(math.log(8) / 2 - math.log((1 + math.e**0.5) / 2))
    value, gradient = score_tables.value_and_gradient(oracles.dv_loss, table)
    assert value == pytest.approx(-oracles.dv_estimate(pairs).real)
    assert gradient[:, 0, :, 0] == pytest.approx(np.array([[-0.5, 0.25], [0.75, -0.5]]))
