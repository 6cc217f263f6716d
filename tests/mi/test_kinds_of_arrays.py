"""Arrays and tensors that are not tables of numbers are refused; the error names the argument and says what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch

from infomax import estimate_mi
from infomax.mi import mutual_info
from infomax.mi.input.columns import as_columns

Y = np.random.default_rng(0).normal(size=60)
TABLE = np.random.default_rng(1).normal(size=(60, 3))


def sparse(kind: str) -> object:
    return getattr(pytest.importorskip("scipy.sparse"), kind)(TABLE)


def nested(**layout: object) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)] * 30, **layout)  # type: ignore[arg-type]


def quantised() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.from_numpy(TABLE).float(), 0.1, 0, torch.qint8)


def sparse_tensor(layout: torch.layout) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.from_numpy(TABLE).to_sparse(layout=layout)


REFUSED = {
    "csr matrix": (lambda: sparse("csr_matrix"), r"must be dense, got a sparse csr_matrix; .*\.toarray\(\)"),
    "coo array": (lambda: sparse("coo_array"), r"must be dense, got a sparse coo_array; .*\.toarray\(\)"),
    "coo tensor": (lambda: sparse_tensor(torch.sparse_coo), r"must be a dense tensor, got layout.*\.to_dense\(\)"),
    "csr tensor": (lambda: sparse_tensor(torch.sparse_csr), r"must be a dense tensor, got layout.*\.to_dense\(\)"),
    "nested": (nested, "must be a dense tensor, got a nested tensor; compute equally many features for each row"),
    "jagged": (lambda: nested(layout=torch.jagged), "must be a dense tensor, got a nested tensor"),
    "quantised": (quantised, r"must not be quantised, got torch.qint8; .*\.dequantize\(\)"),
    "meta": (lambda: torch.ones(60, 3, device="meta"), "must hold values, got a tensor on the meta device"),
    "lists": (lambda: [[1.0, 2.0], [3.0]] * 30, "must have rows of one length.*; compute equally many features"),
    "lists of strings": (lambda: [["a"], ["b", "c"]] * 30, "must have rows of one length"),
    "tensors": (lambda: [torch.ones(2), torch.ones(3)] * 30, "must have rows of one length"),
    "objects": (
        lambda: np.array([np.ones(2), np.ones(3)] * 30, dtype=object),
        "must have rows of one length, got objects of type ndarray",
    ),
    "an index of several levels": (
        lambda: pytest.importorskip("pandas").MultiIndex.from_arrays([np.arange(60), np.arange(60)]),
        r"must have one value in each place, got a MultiIndex; use \.to_frame\(\)",
    ),
    "a lazy frame": (
        lambda: pytest.importorskip("polars").DataFrame({"a": Y}).lazy(),
        r"must hold its values, got a LazyFrame; call \.collect\(\) first",
    ),
    "objects that are lists": (
        lambda: np.array([[1, 2], [3]] * 30, dtype=object),
        "must have rows of one length, got objects of type list",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_they_are_refused_by_name(kind: str) -> None:
    make, match = REFUSED[kind]
    given = make()
    with pytest.raises((TypeError, ValueError), match=f"^x {match}"):
        estimate_mi(given, Y)  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError), match=f"^y {match}"):
        estimate_mi(Y, given)  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError), match=f"^given {match}"):
        estimate_mi(Y, np.roll(Y, 1), given=given)  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError), match=f"^groups {match}"):
        estimate_mi(Y, np.roll(Y, 1), groups=given)  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError), match=f"^X {match}"):
        mutual_info(given, Y)  # type: ignore[arg-type]


def test_new_rows_are_refused_by_name() -> None:
    found = estimate_mi(TABLE, Y, random_state=0, max_steps=0, folds=2)
    with pytest.raises(TypeError, match=r"^x must be dense, got a sparse csr_matrix"):
        found.score(sparse("csr_matrix"), Y)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: [torch.tensor(row, requires_grad=True) for row in TABLE],
        lambda: [torch.tensor(row) for row in TABLE],
        lambda: torch.from_numpy(TABLE).requires_grad_(),
        lambda: sparse("csr_matrix").toarray(),  # type: ignore[attr-defined]
        lambda: sparse_tensor(torch.sparse_coo).to_dense(),
        lambda: TABLE.astype(object),
    ],
    ids=["tensors with a gradient", "tensors", "a tensor with a gradient", "toarray", "to_dense", "objects"],
)
def test_what_is_dense_is_read(make: Callable[[], object]) -> None:
    found = torch.stack([column.values for column in as_columns("x", make())], 1)
    np.testing.assert_array_equal(found.numpy(), TABLE)
