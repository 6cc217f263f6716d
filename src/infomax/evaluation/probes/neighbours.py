"""Nearest neighbours in feature space, in bounded memory, for k-NN classification and for inspection."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from infomax._checks import check_choice, check_flag, check_floating, check_positive, check_same_device, shape_of
from infomax._random import RandomState
from infomax.evaluation.checks import check_labelled, check_rows
from infomax.evaluation.extract import Progress

__all__ = ["Neighbours", "knn_probe", "nearest_neighbours"]

_METRICS = ("cosine", "l1", "l2")
_WORKSPACE = 2**26  # bytes of the largest table of distances held at a time


class Neighbours(NamedTuple):
    """The nearest rows of a reference set.

    Args:
        distances: (M, k), nearest first.
        indices: (M, k), row numbers in the reference set, int64.

    Example:
        >>> import torch
        >>> from infomax.evaluation import nearest_neighbours
        >>> found = nearest_neighbours(torch.tensor([[0.0]]), torch.tensor([[3.0], [1.0], [-2.0]]), k=2)
        >>> found.indices, found.distances
        (tensor([[1, 2]]), tensor([[1., 2.]]))
    """

    distances: Tensor
    indices: Tensor


def nearest_neighbours(
    query: Tensor,
    reference: Tensor,
    *,
    k: int = 5,
    metric: str = "l1",
    exclude_self: bool = False,
    progress: Progress | None = None,
) -> Neighbours:
    r"""Find the rows of a reference set that are nearest to each query.

    .. math:: d_1(q, r) = \sum_i |q_i - r_i|, \quad d_2 = \|q - r\|_2, \quad
              d_{\cos} = 1 - \frac{\langle q, r\rangle}{\|q\| \|r\|}

    Args:
        query: (M, D).
        reference: (K, D), on the same device.
        k: number of neighbours per query.
        metric: ``"l1"`` (the paper's choice for showing similar images), ``"l2"`` or ``"cosine"``. The last two are
            computed by matrix products, which are many times faster.
        exclude_self: whether query i is row i of the reference and must not be its own neighbour.
        progress: called after each chunk with ``"neighbours"``, the queries done and the total number of queries.

    Returns:
        `Neighbours`: distances (M, k), float32 (float64 where a set is float64), and indices (M, k); nearest first.
        Among equal distances the order is not defined.

    Raises:
        TypeError: the features are not floating point.
        ValueError: the metric is unknown, widths or devices differ, values are not finite, or k is larger than the
            number of rows to choose from.

    Numerics:
        Half precision is widened to float32 first. Distances are computed for chunks of queries, in tables of at most
        64 MiB. Cosine distances are finite for rows of any finite length; a zero row has distance 1 from every row.
        Euclidean distances are computed from inner products of centred features, so distances near zero are exact only
        to the square root of the rounding error.

    Source:
        Hjelm et al., ICLR 2019, nearest neighbours by L1 distance in `y`.

    Example:
        >>> reference = torch.tensor([[0.0], [1.0], [5.0]])
        >>> nearest_neighbours(torch.tensor([[0.9]]), reference, k=2).indices
        tensor([[1, 0]])
    """
    query, reference = _checked(query, reference, k, metric, exclude_self)
    scale = torch.ones((), dtype=query.dtype, device=query.device)
    if metric == "l2":
        largest = torch.maximum(query.abs().amax(), reference.abs().amax())
        scale = torch.exp2(torch.frexp(largest).exponent.to(scale.dtype) - 1)
        query, reference = query / scale, reference / scale  # a power of two: exact, and no square overflows
        centre = reference.mean(0)  # keeps distances the same and the products below small
        query, reference = query - centre, reference - centre
    elif metric == "cosine":
        query, reference = _directions(query), _directions(reference)
    squares = reference.square().sum(1) if metric == "l2" else None
    rows = max(1, _WORKSPACE // (len(reference) * reference.element_size()))
    distances, indices = [], []
    for start in range(0, len(query), rows):
        part = query[start : start + rows]
        table = _distances(part, reference, metric, squares)
        if exclude_self:
            own = torch.arange(len(part), device=part.device)
            table[own, own + start] = torch.inf
        nearest = table.topk(k, dim=1, largest=False)
        if squares is not None:
            nearest_square = nearest.values + part.square().sum(1, keepdim=True)
            distances.append(nearest_square.clamp_min(0).sqrt() * scale)
        else:
            distances.append(nearest.values)
        indices.append(nearest.indices)
        if progress is not None:
            progress("neighbours", start + len(part), len(query))
    return Neighbours(torch.cat(distances), torch.cat(indices))


def knn_probe(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    k: int = 20,
    metric: str = "cosine",
    random_state: RandomState = None,  # noqa: ARG001 (part of the protocol `Probe`)
    progress: Progress | None = None,
) -> float:
    """Return the accuracy of a k-nearest-neighbours classifier, which measures how well distances separate classes.

    Nothing is trained. The k neighbours vote with equal weight, and the smallest label wins a tie. A small k favours
    representations with many small clusters, a large k favours smooth ones.

    Args:
        train_features: (K, D).
        train_labels: (K,), integers.
        test_features: (M, D).
        test_labels: (M,), integers.
        k: number of neighbours that vote.
        metric: as in `nearest_neighbours`.
        random_state: not used; it is accepted because every `Probe` has this argument.
        progress: called after each chunk, as in `nearest_neighbours`.

    Returns:
        Share of test examples classified correctly, between 0 and 1.

    Raises:
        TypeError: dtypes do not fit.
        ValueError: as in `nearest_neighbours`; or labels do not fit the features, or there is a single class.

    Example:
        >>> labels = torch.arange(3).repeat(20)
        >>> features = torch.randn(60, 4) + 10 * labels[:, None]
        >>> knn_probe(features, labels, features, labels, k=5, metric="l2")
        1.0
    """
    train, test, classes = check_labelled(train_features, train_labels, test_features, test_labels)
    indices = nearest_neighbours(test.features, train.features, k=k, metric=metric, progress=progress).indices
    right, rows = 0, max(1, _WORKSPACE // (4 * classes))
    for found, labels in zip(torch.split(indices, rows), torch.split(test.labels, rows), strict=True):
        votes = torch.zeros(len(found), classes, device=found.device)
        votes.scatter_add_(1, train.labels[found], torch.ones_like(found, dtype=votes.dtype))
        right += int((votes.argmax(1) == labels).sum())
    return right / len(indices)


def _directions(rows: Tensor) -> Tensor:
    """Scale rows to length 1, first by their largest value so that no square overflows; a zero row stays zero."""
    largest = rows.abs().amax(1, keepdim=True)
    return functional.normalize(torch.where(largest > 0, rows / largest, 0.0), dim=1)


def _distances(query: Tensor, reference: Tensor, metric: str, squares: Tensor | None) -> Tensor:
    """Return the table of distances; where ``squares`` of the references are given, |r|^2 - 2 <q, r> instead."""
    if metric == "l1":
        return torch.cdist(query, reference, p=1.0)
    if squares is not None:
        return torch.addmm(squares, query, reference.T, alpha=-2.0)
    return 1 - query @ reference.T


def _checked(query: Tensor, reference: Tensor, k: int, metric: str, exclude_self: bool) -> tuple[Tensor, Tensor]:
    """Check the arguments of `nearest_neighbours` and return both sets in one dtype, float32 at least."""
    check_choice("metric", metric, _METRICS)
    check_positive("k", k)
    for name, rows in (("query", query), ("reference", reference)):
        check_floating(name, rows)
    if query.ndim != 2 or reference.ndim != 2 or query.shape[1] != reference.shape[1] or not len(query):
        raise ValueError(
            f"query and reference must have shapes (M, D) and (K, D), got {shape_of(query)} and {shape_of(reference)}"
        )
    query, reference = check_rows("query", query), check_rows("reference", reference)
    check_same_device(query=query, reference=reference)
    available = len(reference) - check_flag("exclude_self", exclude_self)
    if k > available:
        raise ValueError(f"k must be at most the {available} rows to choose from, got {k}")
    if exclude_self and len(query) > len(reference):
        raise ValueError(
            f"exclude_self needs query i to be row i of the reference, got {len(query)} queries and "
            f"{len(reference)} rows"
        )
    dtype = torch.promote_types(query.dtype, reference.dtype)
    return query.to(dtype), reference.to(dtype)
