"""Interleaved timing of candidates, and tables that record the conditions of a measurement."""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

__all__ = ["DEVICE", "RESULTS", "Run", "Timing", "add_rounds", "conditions", "measure", "pyplot", "table", "write"]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RESULTS = Path(__file__).parent / "results"
Run = Callable[[], object]
_DISTURBED = 0.05
_PATIENCE = 8
_disturbances: list[float] = []


def add_rounds(command: argparse.ArgumentParser) -> None:
    """Add ``--rounds``, the number of rounds of `measure`."""
    command.add_argument("--rounds", type=int, default=9, help="times each candidate is measured; once with --smoke")


class Timing:
    """The times of one candidate, one per round."""

    def __init__(self, seconds: Sequence[float]) -> None:
        self.seconds = list(seconds)

    @property
    def milliseconds(self) -> float:
        """The median time in milliseconds."""
        return 1e3 * statistics.median(self.seconds)

    def over(self, other: Timing) -> float:
        """Return the median over rounds of the ratio of two times of the same round.

        If the machine is slow during a round, it slows both candidates, so the ratio hardly changes.
        """
        return statistics.median(a / b for a, b in zip(self.seconds, other.seconds, strict=True))


def measure(candidates: Mapping[str, Run], rounds: int, warm_up: int = 2) -> dict[str, Timing]:
    """Time the candidates in rounds, each candidate once per round, so that load on the machine affects all alike.

    A round is disturbed if other processes used more than 5 % of the processors. Disturbed rounds are repeated, up to
    ``8 * rounds`` rounds in all. The quietest ``rounds`` are kept, and `conditions` reports their load.
    """
    for run in candidates.values():
        for _ in range(warm_up):
            run()
    taken: list[tuple[float, dict[str, float]]] = []
    order = list(candidates)
    for turn in range(_PATIENCE * rounds):
        before = _others()
        times = {name: _once(candidates[name]) for name in (order if turn % 2 == 0 else order[::-1])}
        share = _share(before, _others())
        taken.append((share, times))
        if sum(share <= _DISTURBED for share, _ in taken) >= rounds:
            break
        if share > _DISTURBED:
            time.sleep(0.2)
    best = sorted(taken, key=lambda pair: pair[0])[:rounds]
    _disturbances.append(best[-1][0])
    return {name: Timing([times[name] for _, times in best]) for name in order}


def _others() -> tuple[float, float, float]:
    """Return the busy seconds of all processors, those of this process and its children, and the current time."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0.0, 0.0, time.time()
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4]), time.time()


def _share(before: tuple[float, float, float], after: tuple[float, float, float]) -> float:
    """Return the share of the processors that other processes used, less two clock ticks for rounding."""
    worked, ours, passed = (b - a for a, b in zip(before, after, strict=True))
    tick = 2 / os.sysconf("SC_CLK_TCK")
    return max(0.0, worked - ours - tick) / max(passed, 1e-9) / (os.cpu_count() or 1)


def _once(run: Run) -> float:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def queue(run: Run, times: int) -> Run:
    """Return a function that makes several calls without waiting for the device between them; it drops the results."""

    def several() -> None:
        for _ in range(times):
            run()

    return several


def conditions() -> str:
    """Return one line: device, threads, versions, commit, date, and the load of other processes."""
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else _processor()
    root = Path(__file__).parents[1]
    git = ["git", "-C", str(root)]
    name = _output([*git, "rev-parse", "--short", "HEAD"]) or "unknown"
    dirty = " with changes" if _output([*git, "status", "--porcelain", "--", "src", "benchmarks/*.py"]) else ""
    others = "load of other processes not recorded"
    if _disturbances:
        others = f"other processes had at most {max(_disturbances):.0%} of the processors in a round"
    return (
        f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, commit {name}{dirty}, "
        f"{time.strftime('%Y-%m-%d')}, {others}"
    )


def _output(command: list[str]) -> str:
    """Return what a command prints, or an empty string if there is no such command."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "CPU"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else "CPU"


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as text in columns."""
    header = list(rows[0])
    cells = [header, *([_text(row.get(name)) for name in header] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"
    return "-" if value is None else str(value)


def write(name: str, title: str, rows: Sequence[Mapping[str, object]], *, keep: bool = True) -> None:
    """Print a table; if ``keep``, also write it to the results as text and CSV."""
    text = f"{title}\n{textwrap.fill(conditions(), 100)}\n\n{table(rows)}\n"
    print(text)
    if not keep:
        return
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"{name}-{DEVICE}"
    stem.with_suffix(".txt").write_text(text)
    with stem.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "conditions"])
        writer.writeheader()
        writer.writerows({**row, "conditions": conditions()} for row in rows)


def pyplot() -> Any:
    """Return matplotlib's ``pyplot``, set to draw into files; without matplotlib, print a message and return None."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("no plot: it needs matplotlib")
        return None
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    return plt
