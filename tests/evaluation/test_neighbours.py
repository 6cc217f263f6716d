"""Nearest neighbours and k-NN, compared with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from infomax.evaluation import knn_probe, nearest_neighbours
from infomax.evaluation.probes import neighbours

METRICS = {"l1": "manhattan", "l2": "euclidean", "cosine": "cosine"}


def features(rows: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=15, deadline=None)
@given(rows=st.integers(2, 30), queries=st.integers(1, 9), width=st.integers(2, 6), data=st.data())
def test_neighbours_are_those_of_scikit_learn(
    metric: str, rows: int, queries: int, width: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, rows))
    reference, query = features(rows, width, 1), features(queries, width, 2) + 3
    distances, indices = nearest_neighbours(query, reference, k=k, metric=metric)
    oracle = NearestNeighbors(n_neighbors=k, metric=METRICS[metric], algorithm="brute").fit(reference.numpy())
    expected, expected_indices = oracle.kneighbors(query.numpy())
    np.testing.assert_allclose(distances.numpy(), expected, atol=1e-7)
    np.testing.assert_array_equal(indices.numpy(), expected_indices)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 2, 7])
def test_accuracy_is_that_of_scikit_learn(metric: str, k: int) -> None:
    labels = torch.randint(4, (200,), generator=torch.Generator().manual_seed(3))
    values = features(200, 5) + labels[:, None]
    train, test = slice(0, 150), slice(150, 200)
    ours = knn_probe(values[train], labels[train], values[test], labels[test], k=k, metric=metric)
    oracle = KNeighborsClassifier(k, metric=METRICS[metric], algorithm="brute")
    oracle.fit(values[train].numpy(), labels[train].numpy())
    assert ours == oracle.score(values[test].numpy(), labels[test].numpy())


def test_the_oracle_tells_the_metrics_apart() -> None:
    reference, query = features(300, 5, 1), features(50, 5, 2) + 3
    indices = [nearest_neighbours(query, reference, metric=metric).indices for metric in METRICS]
    assert not any(torch.equal(indices[one], indices[other]) for one, other in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("metric", METRICS)
def test_chunks_do_not_matter(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, query = features(40, 3, 1), features(23, 3, 2)
    whole = nearest_neighbours(query, reference, metric=metric)
    steps: list[tuple[str, int, int | None]] = []
    monkeypatch.setattr(neighbours, "_WORKSPACE", 5 * 40 * 8)  # five queries per chunk
    parts = nearest_neighbours(query, reference, metric=metric, progress=lambda *step: steps.append(step))
    assert torch.equal(parts.indices, whole.indices)
    torch.testing.assert_close(parts.distances, whole.distances)
    assert [done for _, done, _ in steps] == [5, 10, 15, 20, 23]


def test_euclidean_neighbours_far_from_the_origin() -> None:
    offset = 3000.0  # squares of 1e7 per feature leave float32 no digits for the differences
    reference, query = features(200, 8, 1).float(), features(20, 8, 2).float()
    near = nearest_neighbours(query, reference, metric="l2")
    far = nearest_neighbours(query + offset, reference + offset, metric="l2")
    torch.testing.assert_close(far.distances, near.distances, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("metric", METRICS)
def test_a_row_is_its_own_neighbour_unless_excluded(metric: str) -> None:
    rows = features(20, 4)
    assert torch.equal(nearest_neighbours(rows, rows, k=1, metric=metric).indices[:, 0], torch.arange(20))
    indices = nearest_neighbours(rows[:7], rows, k=19, metric=metric, exclude_self=True).indices
    assert all(own not in found for own, found in enumerate(indices.tolist()))


def test_a_zero_vector_has_no_direction_and_no_nan() -> None:
    found = nearest_neighbours(torch.zeros(1, 3), torch.rand(5, 3), metric="cosine")
    assert torch.equal(found.distances, torch.ones(1, 5))


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"metric": "hamming"}, "metric must be one of cosine, l1, l2, got 'hamming'"),
            ({"k": 0}, "k must be at least 1, got 0"),
            ({"k": 6}, "k must be at most the 5 rows to choose from, got 6"),
            ({"k": 5, "exclude_self": True}, "k must be at most the 4 rows to choose from, got 5"),
            ({"query": torch.rand(2, 4)}, r"shapes \(M, D\) and \(K, D\), got \(2, 4\) and \(5, 3\)"),
            ({"query": torch.rand(0, 3)}, r"got \(0, 3\)"),
            ({"query": torch.rand(9, 3), "exclude_self": True, "k": 1}, "got 9 queries and 5 rows"),
        ],
    )
    def test_values(self, options: dict[str, object], message: str) -> None:
        settings = {"query": torch.rand(2, 3), "reference": torch.rand(5, 3), "k": 2, **options}
        with pytest.raises(ValueError, match=message):
            nearest_neighbours(**settings)  # type: ignore[arg-type]

    def test_integers(self) -> None:
        with pytest.raises(TypeError, match="query must have a real floating dtype"):
            nearest_neighbours(torch.ones(2, 3, dtype=torch.long), torch.rand(5, 3))


class TestHalfPrecision:
    """Half-precision features are converted first: the neighbours are those of the same values in float32."""

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_neighbours_are_those_of_the_widened_features(self, metric: str, dtype: torch.dtype) -> None:
        reference, query = features(300, 32, 1).to(dtype), features(40, 32, 2).to(dtype)
        ours = nearest_neighbours(query, reference, metric=metric)
        theirs = nearest_neighbours(query.float(), reference.float(), metric=metric)
        assert torch.equal(ours.indices, theirs.indices)
        assert ours.distances.dtype == torch.float32

    def test_large_rows_are_finite_though_their_sum_overflows(self) -> None:
        labels = torch.arange(20) % 2
        rows = (6e4 * (2 * labels[:, None] - 1)).expand(-1, 30).half()
        assert knn_probe(rows, labels, rows, labels, k=3) == 1.0
        assert knn_probe(rows, labels, rows, labels, k=3, metric="l2") == 1.0

    @pytest.mark.parametrize("metric", ["l2", "cosine"])
    def test_squares_that_would_overflow(self, metric: str) -> None:
        reference, query = features(50, 4, 1).float(), features(9, 4, 2).float()
        near = nearest_neighbours(query, reference, metric=metric)
        far = nearest_neighbours(query * 2.0**100, reference * 2.0**100, metric=metric)
        assert torch.equal(far.indices, near.indices)
        scale = 2.0**100 if metric == "l2" else 1.0
        torch.testing.assert_close(far.distances / scale, near.distances)

    @pytest.mark.parametrize(
        ("dtype", "factor"),
        [(torch.float32, 2.0**126), (torch.float32, 2.0**-120), (torch.float64, 2.0**1020), (torch.float64, 2.0**-900)],
    )
    def test_euclidean_neighbours_at_the_ends_of_the_range(self, dtype: torch.dtype, factor: float) -> None:
        reference, query = torch.rand(50, 4, dtype=dtype) + 1, torch.rand(9, 4, dtype=dtype) + 1
        near = nearest_neighbours(query, reference, metric="l2")
        far = nearest_neighbours(query * factor, reference * factor, metric="l2")
        assert torch.equal(far.indices, near.indices)
        torch.testing.assert_close(far.distances / factor, near.distances)

    def test_what_is_not_finite_is_refused(self) -> None:
        with pytest.raises(ValueError, match="query must be finite, got NaN"):
            nearest_neighbours(torch.full((2, 3), torch.nan), torch.rand(5, 3))
