"""``python -m benchmarks NAME``: run one benchmark, print its table and write it to benchmarks/results."""

from __future__ import annotations

import argparse

from benchmarks import imports, pairwise, peers, scaling, step, tune

BENCHMARKS = {"pairwise": pairwise, "step": step, "scaling": scaling, "imports": imports, "peers": peers, "tune": tune}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    for name, module in BENCHMARKS.items():
        command = commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        command.add_argument("--rounds", type=int, default=9, help="times each candidate is measured")
        command.add_argument("--smoke", action="store_true", help="tiny sizes, one round, nothing written")
    options = parser.parse_args()
    BENCHMARKS[options.name].run(rounds=1 if options.smoke else options.rounds, smoke=options.smoke)


if __name__ == "__main__":
    main()
