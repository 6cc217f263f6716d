"""How often the intervals of estimate_mi hold the truth: the suite "coverage" of the MI benchmark."""

from __future__ import annotations

import argparse

from benchmarks import mi

__all__ = ["add_options", "run"]


def add_options(command: argparse.ArgumentParser) -> None:
    """Take what ``python -m benchmarks mi`` takes."""
    mi.add_options(command)
    command.set_defaults(suite="coverage")


def run(options: argparse.Namespace) -> None:
    """Draw samples, and count."""
    mi.run(options)
