"""Nearest neighbours in feature space, in bounded memory: for k-NN, and to look at."""

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
_WORKSPACE = 2**26  # bytes: the largest table of distances held at a time


class Neighbours(NamedTuple):
    """The nearest rows of a reference set.

    Args:
        distances: (M, k), nearest first.
        indices: (M, k), rows of the reference set, int64.

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
        k: neighbours a query.
        metric: ``"l1"`` (the paper's, for pictures), ``"l2"`` or ``"cosine"``. The last two are matrix
            products and many times faster.
        exclude_self: query i *is* row i of the reference, and is not its own neighbour.
        progress: called after each chunk with ``"neighbours"``, queries done and queries in all.

    Returns:
        `Neighbours`: distances (M, k), float32 (float64 where a set is float64), and indices (M, k); nearest first.
        Among equal distances the order is not defined.

    Raises:
        TypeError: features that are not floating point.
        ValueError: an unknown metric, shapes or devices that differ, values that are not finite, k larger than the
            reference set.

    Numerics:
        Half precision is widened to float32 first. Distances are computed for chunks of queries, at most 64 MiB at a
        time. Rows of any finite length have a cosine. Euclidean distances come from
        products of centred features: near-zero ones are inexact, to the square root of the rounding error.

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
        query, reference = query / scale, reference / scale  # by a power of two: exact, and no square overflows
        centre = reference.mean(0)  # distances do not change, and the products below stay small
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
    random_state: RandomState = None,  # noqa: ARG001 (every probe takes one)
    progress: Progress | None = None,
) -> float:
    """Accuracy of a k-nearest-neighbours classifier: what the distances of a representation are worth.

    Nothing is trained. The k neighbours vote with equal weight; among classes with as many votes the smallest
    label wins. Few neighbours are rather optimistic about clusters, many about smooth representations.

    Args:
        train_features: (K, D).
        train_labels: (K,), integers.
        test_features: (M, D).
        test_labels: (M,), integers.
        k: neighbours that vote.
        metric: as in `nearest_neighbours`.
        random_state: not used; every probe takes one.
        progress: called after each chunk.

    Returns:
        Share of test examples classified correctly, between 0 and 1.

    Raises:
        TypeError: dtypes that do not fit.
        ValueError: as in `nearest_neighbours`; labels that do not fit the features, or a single class.

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
    """Rows of length 1; a zero row stays zero. Divided by their largest value first, so that no square overflows."""
    largest = rows.abs().amax(1, keepdim=True)
    return functional.normalize(torch.where(largest > 0, rows / largest, 0.0), dim=1)


def _distances(query: Tensor, reference: Tensor, metric: str, squares: Tensor | None) -> Tensor:
    """Distances, without the query's own square where ``squares`` of the references are given."""
    if metric == "l1":
        return torch.cdist(query, reference, p=1.0)
    if squares is not None:
        return torch.addmm(squares, query, reference.T, alpha=-2.0)
    return 1 - query @ reference.T


def _checked(query: Tensor, reference: Tensor, k: int, metric: str, exclude_self: bool) -> tuple[Tensor, Tensor]:
    """Both sets in one dtype, float32 at least."""
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
