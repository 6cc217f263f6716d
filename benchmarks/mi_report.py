"""Tables of a suite by method, by group of cases and by case."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import table
from benchmarks.mi_suites import Suite

__all__ = ["report", "sound"]

Row = Mapping[str, Any]


def report(suite: Suite, rows: Sequence[Row], skipped: Mapping[str, str]) -> str:
    """Return the report as text: the suite and its aim, the skipped methods, and the tables."""
    head = [f"Mutual information in nats: {suite.title}", f"Aim: {suite.aim}"]
    head += [f"Samples by {', '.join(_in_order(rows, 'samples'))}"] if rows else ["No answers"]
    head += _in_order(rows, "conditions")
    head += [f"Skipped: {method} ({reason})" for method, reason in skipped.items()]
    if not rows:
        return "\n".join(head) + "\n"
    methods = _in_order(rows, "method")
    methods = [*(name for name in suite.methods if name in methods), *(m for m in methods if m not in suite.methods)]
    tables = [table([_summary(suite, {"method": method}, _of(rows, method=method)) for method in methods])]
    groups = _in_order(rows, "group")
    if len(groups) > 1:
        tables.append(table([
            _summary(suite, {"group": group, "method": method}, found)
            for group in groups for method in methods if (found := _of(rows, group=group, method=method))
        ]))  # fmt: skip
    tables.append(table(_by_case(rows, methods)))
    return "\n".join(head) + "\n\n" + "\n\n".join(tables) + "\n"


def sound(row: Row, tolerance: float) -> bool:
    """Return whether an estimate of strong dependence cannot be mistaken for one of weak dependence.

    An estimate passes if the method refused to give one, with ``ValueError``. Otherwise estimate and interval must be
    finite, and the estimate must be within ``tolerance`` nats of the truth, or flagged and between half of log n and
    twice log n, which is about what n rows can certify.
    """
    if row["nats"] is None:
        return str(row["note"]).startswith("ValueError")
    ends = (row["nats"], row["low"], row["high"])
    if any(end is not None and not math.isfinite(end) for end in ends):
        return False
    certified = math.log(int(row["rows"]))
    flagged = bool(row["flagged"]) and 0.5 * certified <= row["nats"] <= 2 * certified
    return flagged or abs(row["nats"] - row["truth"]) <= tolerance


def _holds(row: Row) -> bool:
    return bool(row["low"] <= row["truth"] <= row["high"])


def _summary(suite: Suite, names: dict[str, object], rows: Sequence[Row]) -> dict[str, object]:
    answered = [row for row in rows if row["nats"] is not None]
    errors = [
        row["nats"] - row["truth"] for row in answered if row["truth"] is not None and math.isfinite(row["truth"])
    ]
    with_ends = [row for row in answered if row["low"] is not None and row["truth"] is not None]
    finite = [row for row in with_ends if math.isfinite(row["truth"])]
    told = [row for row in answered if row["flagged"] is not None]
    shown: dict[str, object] = {
        **names, "answers": len(answered), "mean |error|": _mean([abs(error) for error in errors]),
        "mean error": _mean(errors), "largest |error|": max(map(abs, errors), default=None),
        "over 0.1": sum(abs(error) > 0.1 for error in errors) if errors else None,
        "holds the truth": f"{sum(map(_holds, finite))} of {len(finite)}" if finite else None,
        "flagged": sum(bool(row["flagged"]) for row in told) if told else None,
        "seconds a sample": statistics.median(row["seconds"] for row in answered) if answered else None,
        "unanswered": len(rows) - len(answered),
    }  # fmt: skip
    if suite.tolerance is not None:
        judged = [row for row in rows if row["low"] is not None or row["nats"] is None]
        right = sum(sound(row, suite.tolerance) for row in judged)
        shown[f"within {suite.tolerance} or flagged"] = f"{right} of {len(judged)}" if judged else None
    return shown


def _by_case(rows: Sequence[Row], methods: Sequence[str]) -> list[dict[str, object]]:
    """Return a line per case: the mean of each method over samples, and more of the first method with an interval.

    Of that method, the line also has the interval, how often it holds the truth, the bound and the flags.
    """
    with_ends = [name for name in methods if any(row["low"] is not None for row in _of(rows, method=name))]
    shown = (with_ends or list(methods))[0]
    lines = []
    for task, size in dict.fromkeys((str(row["task"]), str(row["rows"])) for row in rows):
        of_case = [row for row in rows if str(row["task"]) == task and str(row["rows"]) == size]
        first = [row for row in _of(of_case, method=shown) if row["nats"] is not None]
        told = [row for row in first if row["flagged"] is not None]
        seeds = {str(row["seed"]) for row in of_case}  # seeds read from a file are text
        line: dict[str, object] = {"task": task, "rows": size, "samples": len(seeds), "truth": of_case[0]["truth"]}
        for method in methods:
            line[method] = _mean([row["nats"] for row in _of(of_case, method=method) if row["nats"] is not None])
        if any(row["low"] is not None for row in first):
            line["low"] = _mean([row["low"] for row in first])
            line["high"] = _mean([row["high"] for row in first])
            held = [row for row in first if row["truth"] is not None and math.isfinite(row["truth"])]
            line["holds"] = f"{sum(map(_holds, held))} of {len(held)}" if held else None
        else:
            line |= {"low": None, "high": None, "holds": None}
        line["bound"] = _mean([row["bound"] for row in first if row["bound"] is not None])
        line["flagged"] = f"{sum(bool(row['flagged']) for row in told)} of {len(told)}" if told else None
        lines.append(line)
    return lines


def _of(rows: Sequence[Row], **values: object) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in values.items())]


def _in_order(rows: Sequence[Row], key: str) -> list[str]:
    return list(dict.fromkeys(str(row[key]) for row in rows))


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
