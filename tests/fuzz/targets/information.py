"""``estimate_mi`` and ``mutual_info``: arrays, tensors, frames and batches of every dtype."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

import infomax
from fuzz.oracle import Finding, attempt
from fuzz.source import Source
from fuzz.values import INTEGERS, NUMBERS, option
from infomax import estimate_mi
from infomax.mi import mutual_info

_ESTIMATORS = ["nwj", "dv", "infonce", "jsd", "smile", "tuba"]
_WRONG: list[Any] = [
    "chi2",
    "club",
    "mi",
    None,
    3,
    infomax.FLO,
    torch.nn.Linear(2, 2),
    "rkl",
    "hellinger",
    "wasserstein",
]
_DATES = np.array("2020-01-01", dtype="datetime64[D]")


def run(source: Source) -> None:
    rows = source.choice([60, 50, 100, 49, 1, 0, 52])
    generator = np.random.default_rng(source.seed())
    x, y = _side(source, rows, generator), _side(source, rows, generator)
    if source.rarely():
        y = x
    elif source.below(2) and isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.size:
        y = x.reshape(len(x), -1).sum(1) + generator.normal(size=len(x))
    options: dict[str, Any] = {
        "random_state": option(source, [0, None, torch.Generator(), generator], [*INTEGERS, "seed"])
    }
    if source.below(4) == 3:
        options["discrete"] = option(source, ["auto", "x", "y", "both"], ["z", None, True, ("x",)])
    if source.below(4) == 3:
        options["groups"] = _groups(source, rows, generator)
    if source.byte() >= 192:
        if source.rarely():
            options["n_jobs"] = option(source, [2, None, -1, 1], INTEGERS)
        options["max_steps"] = option(source, [0], INTEGERS)
        attempt(mutual_info, x, y, **options, names=(*_NAMES, "X", "n_jobs"))
        return
    options["max_steps"] = option(source, [0, 1, 2], [v for v in INTEGERS if v is not None])
    for name, plain, spoilt in _OPTIONS:
        if source.rarely():
            options[name] = option(source, plain, spoilt)
    if source.rarely():
        options["given"] = _side(source, rows, generator)
    if source.rarely():
        x, y = _batches(source, x, y), None
    result = attempt(estimate_mi, x, y, **options, names=_NAMES)
    if not result.low <= result.nats <= result.high:
        raise Finding(f"the estimate {result.nats} lies outside its interval [{result.low}, {result.high}]")
    if not all(math.isfinite(value) for value in (result.nats, result.low, result.high, result.bound)):
        raise Finding(f"an estimate that is not finite: {result}")


_OPTIONS: list[tuple[str, list[Any], list[Any]]] = [
    ("estimator", _ESTIMATORS, _WRONG),
    ("objective", _ESTIMATORS, _WRONG),
    ("preprocess", ["ranks", "standardise"], ["none", None, 3]),
    ("start", ["copula", "none"], ["gauss", None, 3]),
    ("folds", [5, 2, 10], INTEGERS),
    ("confidence", [0.95, 0.5], NUMBERS),
    ("hidden", [(8,), [4, 4]], [(), 4, None, (0,), (2.5,), (10**20,), "44", {3}, (np.int64(4),)]),
    ("permutations", [3, 1], INTEGERS),
    ("progress", [False], [None, 0]),
]
_NAMES = ("x", "y", "given", "groups", "random_state", *(name for name, _, _ in _OPTIONS), "max_steps", "discrete")


def _side(source: Source, rows: int, generator: np.random.Generator) -> Any:
    width = source.choice([0, 1, 2, 3, 200 if source.rarely() else 2])
    shape = (rows, width) if width else (rows,)
    values = generator.normal(size=shape)
    kind = source.below(12)
    if kind == 1:
        values = values.round()
    elif kind == 2:
        values = np.zeros(shape)
    elif kind == 3:
        values = np.sign(values) * 10.0 ** generator.uniform(-300, 300, size=shape)
    elif kind == 4:
        values = np.repeat(values[: max(1, rows // 4)], 4, 0)[:rows]
    elif kind == 5 and values.size:
        values.flat[source.byte() % values.size] = [np.nan, np.inf, -np.inf][source.below(3)]
    elif kind == 6:
        values = 1e16 + values
    elif kind == 7:
        values = np.where(values > 1.5, values, 0.0)
    return _as(source, values) if source.below(2) else values


def _as(source: Source, values: np.ndarray) -> Any:
    kind = source.below(24)
    whole = np.nan_to_num(values, posinf=9, neginf=-9).clip(-99, 99)
    dtypes = ["f2", "f4", "i1", "u1", "i8", "u8", "?", "c16", "U4", "S4", "O", "longdouble", ">f8", "m8[s]", "u2", "u4"]
    if kind < len(dtypes):
        return whole.astype(dtypes[kind])
    if kind == 16:
        return _DATES + whole.astype(int)
    if kind == 17:
        return np.ma.masked_array(values, mask=np.zeros(values.shape, bool) if source.below(2) else values > 1)
    if kind == 18:
        return np.array([tuple(row) for row in whole.reshape(len(whole), -1)[:, :1].repeat(2, 1)], dtype="f8,i4")
    if kind == 19:
        return values.tolist()
    if kind == 20:
        dtype = source.choice(
            [
                torch.float32,
                torch.bfloat16,
                torch.float16,
                torch.int64,
                torch.bool,
                torch.complex64,
                torch.float8_e4m3fn,
                torch.uint8,
                torch.uint16,
            ]
        )
        return torch.from_numpy(whole.copy()).to(dtype)
    if kind == 21:
        mixed: list[Any] = list(values.reshape(len(values), -1)[:, 0]) if values.size else []
        mixed[: 1 + source.below(3)] = [None, "text", float("nan"), [1, 2]][: 1 + source.below(4)]
        return mixed
    if kind == 22:
        return [str(int(value)) for value in whole.reshape(len(whole), -1)[:, 0]] if whole.size else ["a"]
    return source.choice(
        [None, 3, "text", {}, {1: 2}, [], [[]], object(), np.array(3.0), torch.tensor(1.0), (x for x in [1])]
    )


def _groups(source: Source, rows: int, generator: np.random.Generator) -> Any:
    groups = generator.integers(0, source.choice([20, 60, 5, 1, 2]), size=rows)
    return option(
        source,
        [groups, torch.from_numpy(groups), groups.astype(str), groups.tolist()],
        [
            groups[:-1],
            groups[:, None],
            groups + 0.5,
            np.full(rows, np.nan),
            None,
            3,
            "groups",
            groups.astype(object),
            [],
        ],
    )


def _batches(source: Source, x: Any, y: Any) -> Any:
    plain = [[(x, y)], [(x, y), (x, y)], ((a, b) for a, b in [(x, y)])]
    return option(source, plain, [[x, y], [], [(x,)], iter([]), [(x, y, x)], [None], x, {"x": y}, [(x, y), (y, x)]])
