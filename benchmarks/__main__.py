"""Run one benchmark: ``python -m benchmarks NAME`` prints its table and writes it to benchmarks/results."""

from __future__ import annotations

import argparse

from benchmarks import (
    curves,
    estimators,
    graphs,
    imports,
    kernels,
    large_batch,
    mi,
    pairwise,
    peers,
    processes,
    roofline,
    scaling,
    step,
    towers,
    trained,
    tune,
    widths,
)

BENCHMARKS = {
    "pairwise": pairwise,
    "step": step,
    "towers": towers,
    "scaling": scaling,
    "imports": imports,
    "peers": peers,
    "tune": tune,
    "roofline": roofline,
    "widths": widths,
    "mi": mi,
    "curves": curves,
    "estimators": estimators,
    "trained": trained,
    "graphs": graphs,
    "kernels": kernels,
    "large-batch": large_batch,
    "processes": processes,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="benchmark", required=True)
    for name, module in BENCHMARKS.items():
        command = commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        command.add_argument("--smoke", action="store_true", help="tiny sizes, nothing written")
        module.add_options(command)
    options = parser.parse_args()
    BENCHMARKS[options.benchmark].run(options)


if __name__ == "__main__":
    main()
