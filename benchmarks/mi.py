"""Mutual information by estimate_mi and by peers, against the truth, on tasks that have one."""

from __future__ import annotations

import argparse
import csv
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import DEVICE, RESULTS, conditions, table
from benchmarks.mi_methods import METHODS, Answer, MissingPeerError
from benchmarks.mi_plot import draw
from infomax.mi.tasks import beyond_normal, more_tasks

__all__ = ["add_options", "run"]

_PATIENCE = 2  # tasks on which a method may be over its time before it is asked no more
_SILENT = ("no answer within", "not asked")
# Spirals, the Swiss roll and uniform noise; all others are increasing maps of a Gaussian or Student-t copula.
_NOT_ELLIPTICAL = ("additive", "swissroll", "spiral")
Samples = tuple[np.ndarray, np.ndarray]
FIELDS = [
    "task", "dim_x", "dim_y", "rows", "seed", "samples", "truth",
    "method", "nats", "low", "high", "seconds", "note", "conditions",
]  # fmt: skip
DEFAULT_METHODS = (
    "infomax",
    "CCA (bmi)",
    "KSG (bmi)",
    "InfoNCE (bmi)",
    "MINE (bmi)",
    "NWJ (bmi)",
    "SMILE (torch-mist)",
)


def add_options(command: argparse.ArgumentParser) -> None:
    """Say which tasks, which methods, which samples."""
    command.add_argument("--tasks", nargs="*", default=[], help="only tasks whose name holds one of these")
    command.add_argument("--methods", nargs="*", default=list(DEFAULT_METHODS), choices=sorted(METHODS), metavar="NAME")
    command.add_argument("--samples", choices=("auto", "ours"), default="auto", help="draw with benchmark-mi if there")
    command.add_argument("--size", type=int, default=10_000, help="pairs a task")
    command.add_argument("--seed", type=int, default=0, help="of the samples")
    command.add_argument("--seconds", type=float, default=60.0, help="budget of a method on a task")
    command.add_argument("--name", default="mi", help="of the files in benchmarks/results; a run goes on where it was")


def run(options: argparse.Namespace) -> None:
    """Estimate what is not yet in the file, task by task, and draw what is there."""
    if options.smoke:
        options.tasks, options.size, options.methods = ["1v1-normal-0.75"], 200, ["infomax, start alone"]
    drawn_by, tasks = _tasks(options.samples)
    chosen = {
        name: task for name, task in tasks.items() if not options.tasks or any(part in name for part in options.tasks)
    }
    file = RESULTS / f"{options.name}-{DEVICE}.csv"
    rows = [] if options.smoke or not file.exists() else _read(file)
    done = {(row["task"], row["method"], int(row["rows"]), int(row["seed"])) for row in rows}
    print(f"{len(chosen)} tasks, samples by {drawn_by}")
    for name, (truth, sample) in chosen.items():
        missing = [method for method in options.methods if (name, method, options.size, options.seed) not in done]
        if not missing:
            continue
        x, y = sample(options.size, options.seed)
        for method in missing:
            answer = _ask(METHODS[method], x, y, options.seconds) if not _given_up(method, rows) else _NOT_ASKED
            rows.append({
                "task": name, "dim_x": x.shape[1], "dim_y": y.shape[1], "rows": options.size, "seed": options.seed,
                "samples": drawn_by, "truth": truth, "method": method, "nats": answer.nats, "low": answer.low,
                "high": answer.high, "seconds": answer.seconds, "note": answer.note, "conditions": _conditions(),
            })  # fmt: skip
            print(f"{name:50s} truth {truth:6.3f}  {method:20s} {_number(answer.nats)}  {answer.note}", flush=True)
            if not options.smoke:
                _write(file, rows)
    _report(rows, file, keep=not options.smoke)


_NOT_ASKED = Answer(note=f"not asked: over its time on {_PATIENCE} tasks in a row")


def _given_up(method: str, rows: Sequence[Mapping[str, object]]) -> bool:
    notes = [str(row["note"]) for row in rows if row["method"] == method][-_PATIENCE:]
    return len(notes) == _PATIENCE and all(note.startswith(_SILENT) for note in notes)


def _ask(method: Callable[..., Answer], x: np.ndarray, y: np.ndarray, seconds: float) -> Answer:
    try:
        return method(x, y, seconds)
    except MissingPeerError as reason:
        return Answer(note=f"skipped: {reason}")


def _tasks(samples: str) -> tuple[str, dict[str, tuple[float, Callable[[int, int], Samples]]]]:
    """Truth and sampler by task name: benchmark-mi's where it is installed, else our own of the same names."""
    if samples == "auto":
        try:
            import bmi
        except (ImportError, AttributeError) as error:  # its jax may not fit its equinox
            print(f"benchmark-mi cannot be imported ({error}): the tasks are our own")
        else:
            theirs = bmi.benchmark.BENCHMARK_TASKS
            return "benchmark-mi", {name: (task.mutual_information, _of_bmi(task)) for name, task in theirs.items()}
    ours = {**beyond_normal(), **more_tasks()}
    return "infomax.mi.tasks", {name: (task.nats, _of_ours(task)) for name, task in ours.items()}


def _of_bmi(task: object) -> Callable[[int, int], Samples]:
    def sample(size: int, seed: int) -> Samples:
        x, y = task.sample(size, seed=seed)  # type: ignore[attr-defined]
        return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)

    return sample


def _of_ours(task: object) -> Callable[[int, int], Samples]:
    def sample(size: int, seed: int) -> Samples:
        x, y = task.sample(size, seed)  # type: ignore[attr-defined]
        return x.numpy(), y.numpy()

    return sample


def _read(file: Path) -> list[dict[str, object]]:
    with file.open(newline="") as opened:
        return [
            {
                key: _float(value) if key in ("truth", "nats", "low", "high", "seconds") else value
                for key, value in row.items()
            }
            for row in csv.DictReader(opened)
        ]


def _float(text: str) -> float | None:
    return float(text) if text else None


def _write(file: Path, rows: Iterable[Mapping[str, object]]) -> None:
    file.parent.mkdir(exist_ok=True)
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, FIELDS)
        writer.writeheader()
        writer.writerows(rows)


def _conditions() -> str:
    """Without the part about other processes, which only rounds in turns can tell."""
    return conditions().partition(", other processes")[0]


def _number(nats: float | None) -> str:
    return "     -" if nats is None else f"{nats:6.3f}" if abs(nats) < 1e3 else f"{nats:.1e}"


def _report(rows: list[dict[str, object]], file: Path, *, keep: bool) -> None:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    of = {(row["task"], row["method"]): row for row in rows}
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    by_task = [
        {"task": task, "truth": next(row["truth"] for row in rows if row["task"] == task)}
        | {method: of[task, method]["nats"] if (task, method) in of else None for method in methods}
        for task in tasks
    ]
    summary = [_summary(method, methods[0], rows, of) for method in methods]
    title = f"Mutual information in nats, {rows[0]['rows']} pairs a task, samples by {rows[0]['samples']}"
    text = f"{title}\n{rows[0]['conditions']}\n\n{table(summary)}\n\n{table(by_task)}\n"
    print(text)
    if keep:
        file.with_suffix(".txt").write_text(text)
        draw(rows, file.with_suffix(".png"))


def _summary(
    method: str, first: str, rows: Sequence[Mapping[str, Any]], of: Mapping[tuple[str, str], Mapping[str, Any]]
) -> dict[str, object]:
    """A method's errors, on all tasks and on those without an elliptical copula, and those of the first beside it."""
    mine = [row for row in rows if row["method"] == method]
    answered = [row for row in mine if row["nats"] is not None]
    errors = [abs(row["nats"] - row["truth"]) for row in answered]
    bent = [abs(row["nats"] - row["truth"]) for row in answered if any(part in row["task"] for part in _NOT_ELLIPTICAL)]
    beside = [of[row["task"], first] for row in answered if (row["task"], first) in of]
    return {
        "method": method, "tasks": len(answered), "mean |error|": _mean(errors),
        f"{first} there": _mean([abs(row["nats"] - row["truth"]) for row in beside if row["nats"] is not None]),
        "not elliptical": _mean(bent), "largest |error|": max(errors, default=None),
        "over 0.1": sum(error > 0.1 for error in errors),
        "seconds a task": statistics.median(row["seconds"] for row in answered) if answered else None,
        "unanswered": len(mine) - len(answered),
    }  # fmt: skip


def _mean(values: Sequence[float]) -> float | None:
    return statistics.mean(values) if values else None
