"""Import time of infomax against that of torch alone, in fresh processes by turns."""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.harness import Run, add_rounds, measure, write

__all__ = ["add_options", "run"]

add_options = add_rounds


def run(options: argparse.Namespace) -> None:
    smoke, rounds = options.smoke, 1 if options.smoke else options.rounds
    timings = measure({name: _import(name) for name in ("torch", "infomax")}, rounds, warm_up=1)
    rows = [
        {"import": name, "ms": timing.milliseconds, "over torch": timing.over(timings["torch"])}
        for name, timing in timings.items()
    ]
    loaded = subprocess.run(
        [sys.executable, "-c", "import infomax, sys; print('triton' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows.append({"import": f"Triton imported by infomax: {loaded.stdout.strip()}"})
    write("imports", "Importing the package in a fresh process", rows, keep=not smoke)


def _import(name: str) -> Run:
    def run_once() -> None:
        subprocess.run([sys.executable, "-c", f"import {name}"], check=True)

    return run_once
