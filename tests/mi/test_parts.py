"""The parts of `estimate_mi`, each compared with a computation that shares no code with it."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from infomax import NWJ, Estimator, ScoreRegularised, estimate_mi
from infomax.estimators import build_estimator
from infomax.mi.closed_forms.canonical import Canonical
from infomax.mi.closed_forms.elliptical import elliptical_offset, elliptical_rows, elliptical_score
from infomax.mi.closed_forms.lift import LIFTS, Lift
from infomax.mi.closed_forms.marginals import Ranks, Standardised
from infomax.mi.closed_forms.student import student_cdf, student_quantile
from infomax.mi.input.folds import make_folds
from infomax.mi.networks.network import StackedCritic
from infomax.mi.reading.held_out import interval_of
from infomax.mi.reading.mixing import mix
from infomax.mi.tasks import dense_gaussian
from infomax.scores.paired import PairedScores


class TestStudent:
    @pytest.mark.parametrize("dof", [1, 2, 3, 4, 5, 10, 11])
    def test_distribution_and_quantiles_are_scipys(self, dof: int) -> None:
        probability = torch.tensor([1e-5, 0.01, 0.3, 0.5, 0.8, 0.999], dtype=torch.float64)
        expected = stats.t.ppf(probability.numpy(), dof)
        np.testing.assert_allclose(student_quantile(probability, dof).numpy(), expected, rtol=1e-8, atol=1e-9)
        angle = torch.atan(torch.from_numpy(expected) / math.sqrt(dof))
        np.testing.assert_allclose(student_cdf(angle, dof).numpy(), probability.numpy(), rtol=1e-7)


class TestMarginals:
    def test_ranks_do_not_notice_increasing_maps(self) -> None:
        rows = torch.randn(200, 2, dtype=torch.float64)
        train, new = rows[:150], rows[150:]
        for dof in (1.0, 3.0, math.inf):
            plain = Ranks(train).scores(new, dof)
            torch.testing.assert_close(Ranks(train.exp()).scores(new.exp(), dof), plain)
            assert plain.isfinite().all()

    def test_a_new_extreme_stays_within_what_was_seen(self) -> None:
        train = torch.randn(100, 1, dtype=torch.float64)
        ranks = Ranks(train)
        far = torch.tensor([[1e300], [-1e300]], dtype=torch.float64)
        assert ranks.scores(far).abs().max() <= ranks.scores(train).abs().max()

    def test_ties_share_a_rank(self) -> None:
        train = torch.tensor([[0.0], [1.0], [1.0], [1.0], [2.0]], dtype=torch.float64)
        torch.testing.assert_close(
            Ranks(train).flat(train).squeeze(1), torch.tensor([-0.8, 0, 0, 0, 0.8], dtype=torch.float64)
        )

    def test_standardised(self) -> None:
        train = 5 + 3 * torch.randn(1000, 2, dtype=torch.float64)
        scores = Standardised(train).scores(train)
        torch.testing.assert_close(scores.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)
        torch.testing.assert_close(scores.var(0, correction=0), torch.ones(2, dtype=torch.float64))


class TestFolds:
    @pytest.mark.parametrize(("rows", "folds"), [(50, 2), (53, 5), (100, 10)])
    def test_parts_are_disjoint_and_tests_cover_all_rows(self, rows: int, folds: int) -> None:
        made = make_folds(rows, folds, torch.Generator().manual_seed(0))
        assert sorted(torch.cat([fold.test for fold in made]).tolist()) == list(range(rows))
        for fold in made:
            everything = torch.cat(fold).tolist()
            assert len(everything) == len(set(everything))
        assert len({len(fold.train) for fold in made}) == len({len(fold.validation) for fold in made}) == 1


class TestElliptical:
    @pytest.mark.parametrize("dof", [1.0, 3.0, math.inf])
    def test_the_score_is_scipys_log_density_ratio(self, dof: float) -> None:
        dim_x, dim_y, correlation = 2, 3, torch.tensor([0.7, 0.3], dtype=torch.float64)
        covariance = np.eye(5)
        for i, value in enumerate(correlation.tolist()):
            covariance[i, dim_x + i] = covariance[dim_x + i, i] = value
        rows = torch.randn(20, 5, dtype=torch.float64)
        x, y = rows[:, :dim_x], rows[:, dim_x:]
        of_x, of_y = elliptical_rows(x, correlation, weigh=True), elliptical_rows(y, correlation, weigh=False)
        square = of_x.joint + of_y.joint - (of_x.leading * of_y.leading).sum(1)
        offset = elliptical_offset(correlation, dof, (dim_x, dim_y))
        scores = elliptical_score(
            of_x.square, of_y.square, square, torch.tensor(dof, dtype=torch.float64), torch.tensor(offset), (2, 3)
        )

        def log_density(values: torch.Tensor, shape: np.ndarray) -> np.ndarray:
            if math.isinf(dof):
                return stats.multivariate_normal(cov=shape).logpdf(values.numpy())
            return stats.multivariate_t(shape=shape, df=dof).logpdf(values.numpy())

        ratio = log_density(rows, covariance) - log_density(x, np.eye(2)) - log_density(y, np.eye(3))
        np.testing.assert_allclose(scores.numpy(), ratio, rtol=1e-6, atol=1e-6)

    def test_canonical_correlations_of_a_known_pair(self) -> None:
        shared = torch.randn(20_000, 2, dtype=torch.float64)
        x = torch.cat([shared, torch.randn(20_000, 1, dtype=torch.float64)], 1)
        y = shared @ torch.tensor([[1.0, 2.0], [-1.0, 1.0]], dtype=torch.float64)
        y = y + torch.randn(20_000, 2, dtype=torch.float64) @ torch.tensor([[1.0, 2.0], [-1.0, 1.0]]).double()
        found = Canonical(x, y)
        torch.testing.assert_close(found.correlation, torch.full((2,), 0.5**0.5).double(), atol=0.02, rtol=0)
        u, v = found.of_x(x), found.of_y(y)
        torch.testing.assert_close((u.T @ u) / len(u), torch.eye(3).double(), atol=1e-8, rtol=0)
        assert ((u[:, :2] * v).mean(0) > 0.65).all()


@pytest.mark.parametrize("kind", LIFTS)
@pytest.mark.parametrize("dim", [1, 2, 5, 30])
def test_dictionaries_are_finite_and_not_large(kind: str, dim: int) -> None:
    rows = torch.randn(100, dim, dtype=torch.float64) * 1e6
    functions = Lift(kind, Ranks(rows), rows)(rows)
    assert functions.isfinite().all()
    assert functions.shape[1] <= max(3 * dim, dim + 60) + 60


class TestReading:
    @pytest.mark.parametrize(
        "name", ["infonce", "dv", "nwj", "smile", "jsd", "mine", "rkl", "chi2", "alpha_tuba", "soft"]
    )
    def test_pairs_are_read_by_every_estimator_as_a_table_is(self, name: str) -> None:
        from infomax import functional as F

        table = torch.randn(6, 6)
        off = table[~torch.eye(6, dtype=torch.bool)].view(6, 5)
        pairs, dense = PairedScores(table.diagonal(), off), F.dense_scores(table)

        def estimator() -> Estimator:
            return ScoreRegularised(NWJ(), clip=1.0) if name == "soft" else build_estimator(name)

        ours, theirs = estimator(), estimator()
        torch.testing.assert_close(ours(pairs), theirs(dense))
        torch.testing.assert_close(ours.mutual_information(pairs), theirs.mutual_information(dense))

    def test_the_mixture_is_at_least_as_good_as_the_best_and_calibrated(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x, noise = torch.randn(2, 400, generator=generator)
        y = 0.8 * x + 0.6 * noise
        rolled = torch.stack([y.roll(-k) for k in range(20)], 1)
        exact = (-0.5 * (x[:, None] ** 2 + rolled**2 - 1.6 * x[:, None] * rolled) / 0.36 + 0.5 * rolled**2) + 0.5 * x[
            :, None
        ] ** 2
        tables = torch.stack([torch.zeros_like(exact), exact, torch.randn(exact.shape, generator=generator)])
        mixture = mix(tables, 1000)
        assert mixture.weights[1] > 0.85
        scores = mixture.scores(tables)
        torch.testing.assert_close(scores[:, 1:].exp().mean(), torch.tensor(1.0), atol=1e-3, rtol=0)
        assert scores.max() <= scores[:, 0].max()

    def test_the_interval_never_claims_more_than_n_rows_can_tell(self) -> None:
        least = 2 * 1.96**2 / 1000
        assert interval_of(-0.01, 0.001, 100, 0.95, 1000) == pytest.approx((0.0, least), rel=1e-3)
        assert interval_of(0.9 * least, 1e-6, 100, 0.95, 1000).low == 0.0
        assert interval_of(1.1 * least, 1e-6, 100, 0.95, 1000).low > 0.0

    @pytest.mark.parametrize("blocks", [4, 8, 100])
    def test_few_blocks_make_a_wide_interval(self, blocks: int) -> None:
        away = stats.t.ppf(0.975, blocks - 1) * 0.1
        assert interval_of(2.0, 0.1, blocks, 0.95, 1000) == pytest.approx((2 - away, 2 + away))


def test_few_rows_are_validated_by_a_third_of_them() -> None:
    """With 15 % of a few hundred rows for validation, the choice of a start would be left to chance."""
    sizes = {rows: [len(part) for part in make_folds(rows, 5, torch.Generator())[0]] for rows in (200, 500, 10_000)}
    assert sizes == {200: [107, 53, 40], 500: [280, 120, 100], 10_000: [6800, 1200, 2000]}


def test_ranks_take_only_what_they_learnt_into_a_file() -> None:
    """An estimate holds the ranks of every fold.

    When it also held the last rows looked up, a saved estimate was more than twice as large.
    """
    ranks = Ranks(torch.randn(50, 2, dtype=torch.float64))
    new = len(pickle.dumps(ranks))
    ranks.scores(torch.randn(5000, 2, dtype=torch.float64))
    assert len(pickle.dumps(ranks)) == new


class TestTimeSaved:
    def test_training_ends_where_it_is_worth_nothing(self) -> None:
        x, y = dense_gaussian(1, 1, 0.5).sample(60, seed=0)
        found = estimate_mi(x, y, random_state=0, max_steps=1000, folds=2, hidden=(4,))
        assert 200 <= found.curve_steps[-1] < 1000

    def test_networks_that_learnt_nothing_are_not_scored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("scored")

        monkeypatch.setattr(StackedCritic, "pairs", refuse)
        x, y = dense_gaussian(1, 1, 0.5).sample(60, seed=0)
        found = estimate_mi(x, y, random_state=0, max_steps=0, folds=2)
        assert all(len(weights) == 3 and weights[2] == 0.0 for weights in found.weights)
