"""Mutual information by estimate_mi and by other libraries, against the truth, on suites of tasks."""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.harness import DEVICE, RESULTS, conditions
from benchmarks.mi_methods import METHODS, Answer, Method, MissingPeerError, Terms
from benchmarks.mi_report import report
from benchmarks.mi_suites import SUITES, Case, Samples, Suite

__all__ = ["add_options", "run"]

_PATIENCE = 2  # a method is skipped after this many cases in a row without an answer in time
_SILENT = ("no answer within", "not asked")
_SMOKE_ROWS, _SMOKE_STEPS, _SMOKE_SEEDS = 120, 5, 2
FIELDS = [
    "suite", "group", "task", "dim_x", "dim_y", "rows", "seed", "samples", "truth", "method", "nats", "low", "high",
    "bound", "flagged", "seconds", "note", "conditions",
]  # fmt: skip
_NUMBERS = ("truth", "nats", "low", "high", "bound", "seconds")


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options for suite, tasks, methods, samples and budget."""
    command.add_argument("--suite", default="beyond-normal", choices=list(SUITES))
    command.add_argument("--tasks", nargs="*", default=[], help="only tasks whose name holds one of these")
    command.add_argument("--methods", nargs="*", default=None, choices=sorted(METHODS), metavar="NAME")
    command.add_argument("--size", type=int, default=None, help="pairs per task, the suite's own if not given")
    command.add_argument("--seeds", type=int, default=None, help="samples per task, the suite's own if not given")
    command.add_argument("--steps", type=int, default=None, help="of our training; the file is then left alone")
    command.add_argument("--seconds", type=float, default=60.0, help="budget of a method on a sample")


def run(options: argparse.Namespace) -> None:
    """Estimate case by case what the results file does not hold yet; then write the report and the plot.

    A run continues an earlier one. The files are for training at its default length: ``--steps`` and ``--smoke`` leave
    them alone.
    """
    suite = SUITES[options.suite]
    cases = _chosen(options, suite)
    methods = _methods(options, suite)
    seeds = _seeds(options, suite)
    steps = _SMOKE_STEPS if options.smoke and options.steps is None else options.steps
    name = "mi" if options.suite == "beyond-normal" else f"mi-{options.suite}"
    file = RESULTS / f"{name}-{DEVICE}.csv"
    kept = not options.smoke and steps is None
    rows = [row for row in _read(file) if not _too_short(row, options.seconds)] if kept and file.exists() else []
    done = {(row["task"], row["method"], int(str(row["rows"])), int(str(row["seed"]))) for row in rows}
    skipped: dict[str, str] = {}
    print(f"{options.suite}: {len(cases)} cases, {len(seeds)} samples each")
    for seed in seeds:
        for case in cases:
            missing = [
                method
                for method in methods
                if method not in skipped and (case.name, method, case.rows, seed) not in done
            ]
            if not missing:
                continue
            others = {str(row["samples"]) for row in rows if row["task"] == case.name} - {case.drawn_by}
            if others:
                raise SystemExit(
                    f"{file} holds samples of {case.name} drawn by {', '.join(others)}, but this run draws them by "
                    f"{case.drawn_by}: move the file first"
                )
            x, y = case.sample(case.rows, seed)
            for method in missing:
                terms = Terms(options.seconds, seed, steps)
                answer = _NOT_ASKED if _given_up(method, rows) else _ask(METHODS[method], x, y, terms, method, skipped)
                if answer is None:
                    print(f"skipped: {method}: {skipped[method]}")
                    continue
                rows.append(_row(options.suite, case, seed, x, y, method, answer))
                print(_line(case, seed, method, answer), flush=True)
                if kept:
                    _write(file, rows)
    text = report(suite, rows, skipped)
    print(text)
    if kept and rows:
        file.with_suffix(".txt").write_text(text)
        suite.picture(rows, file.with_suffix(".png"))


def _chosen(options: argparse.Namespace, suite: Suite) -> list[Case]:
    cases = list(suite.cases(_SMOKE_ROWS if options.smoke and options.size is None else options.size))
    if options.suite == "beyond-normal" and not options.smoke:
        cases = _of_bmi(cases)
    if options.tasks:
        return [case for case in cases if any(part in case.name for part in options.tasks)]
    return list({case.group: case for case in cases}.values()) if options.smoke else cases


def _methods(options: argparse.Namespace, suite: Suite) -> list[str]:
    if options.methods is not None:
        return list(options.methods)
    of_smoke = ("infomax", "infomax, start alone", "KSG, k = 3", "SVM (scikit-learn)")
    return [method for method in suite.methods if method in of_smoke or not options.smoke]


def _seeds(options: argparse.Namespace, suite: Suite) -> range:
    count = options.seeds if options.seeds is not None else _SMOKE_SEEDS if options.smoke else suite.seeds
    return range(suite.first_seed, suite.first_seed + count)


def _too_short(row: Mapping[str, object], seconds: float) -> bool:
    """Return whether a row has no answer and should be tried again: not asked, or given less time than now."""
    waited = re.search(r"no answer within ([\d.]+) s", str(row["note"]))
    return str(row["note"]).startswith("not asked") or (waited is not None and float(waited[1]) < seconds)


_NOT_ASKED = Answer(note=f"not asked: over its time on {_PATIENCE} cases in a row")


def _given_up(method: str, rows: Sequence[Mapping[str, object]]) -> bool:
    notes = [str(row["note"]) for row in rows if row["method"] == method][-_PATIENCE:]
    return len(notes) == _PATIENCE and all(note.startswith(_SILENT) for note in notes)


def _ask(
    method: Method, x: np.ndarray, y: np.ndarray, terms: Terms, name: str, skipped: dict[str, str]
) -> Answer | None:
    """Return the answer of a method; if it cannot run here, note why in ``skipped`` and return None."""
    try:
        return method(x, y, terms)
    except MissingPeerError as reason:
        skipped[name] = str(reason)
        return None


def _of_bmi(ours: list[Case]) -> list[Case]:
    """Let benchmark-mi, if installed, draw the samples of the tasks that it has under the same name."""
    try:
        import bmi
    except (ImportError, AttributeError) as error:  # AttributeError: incompatible versions of jax and equinox
        print(f"benchmark-mi cannot be imported ({error}): the samples are our own")
        return ours
    theirs = bmi.benchmark.BENCHMARK_TASKS
    return [
        Case(case.name, float(theirs[case.name].mutual_information), case.rows, _sampler(theirs[case.name]), case.group,
             "benchmark-mi")
        if case.name in theirs else case
        for case in ours
    ]  # fmt: skip


def _sampler(task: object) -> Callable[[int, int], Samples]:
    def sample(size: int, seed: int) -> Samples:
        x, y = task.sample(size, seed=seed)  # type: ignore[attr-defined]
        return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)

    return sample


def _row(
    suite: str, case: Case, seed: int, x: np.ndarray, y: np.ndarray, method: str, answer: Answer
) -> dict[str, object]:
    return {
        "suite": suite, "group": case.group, "task": case.name, "dim_x": x.shape[1], "dim_y": y.shape[1],
        "rows": len(x), "seed": seed, "samples": case.drawn_by, "truth": case.truth, "method": method,
        "nats": answer.nats, "low": answer.low, "high": answer.high, "bound": answer.bound,
        "flagged": answer.flagged, "seconds": answer.seconds,
        "note": answer.note,
        "conditions": conditions(),
    }  # fmt: skip


def _line(case: Case, seed: int, method: str, answer: Answer) -> str:
    truth = "     -" if case.truth is None else f"{case.truth:6.3f}"
    ends = "" if answer.low is None or answer.high is None else f"[{answer.low:.3f}, {answer.high:.3f}]"
    flag = "flagged" if answer.flagged else ""
    said = f"{_number(answer.nats)} {ends} {flag} {answer.note}"
    return f"{case.name:42s} {case.rows:6d} {seed:3d} truth {truth}  {method:20s} {said}"


def _number(nats: float | None) -> str:
    return "     -" if nats is None else f"{nats:6.3f}" if abs(nats) < 1e3 else f"{nats:.1e}"


def _read(file: Path) -> list[dict[str, object]]:
    """Read rows that an earlier run wrote."""
    with file.open(newline="") as opened:
        return [{key: _value(key, row[key]) for key in FIELDS} for row in csv.DictReader(opened)]


def _value(key: str, text: str) -> object:
    if key in _NUMBERS:
        return float(text) if text else None
    return {"True": True, "False": False, "": None}.get(text, text) if key == "flagged" else text


def _write(file: Path, rows: Iterable[Mapping[str, object]]) -> None:
    file.parent.mkdir(exist_ok=True)
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
