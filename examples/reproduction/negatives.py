"""Find how many negatives each estimator needs: train the same encoder with InfoNCE, DV and JSD and fewer negatives.

    python examples/reproduction/negatives.py                                    # scikit-learn's digits
    python examples/reproduction/negatives.py --data cifar10 --download --train-images 10000 --epochs 4 --budget 1h

All runs have the same images, batches and steps. They differ in the number of other images that a global feature is
scored against (1, 4, 16, ... up to all others in the batch), and therefore in their random draws. The accuracy of a
probe on the frozen encoder then measures what the encoder has learnt. Most options of train_dim.py can be given. The
same command, run again, continues where it was stopped. The results in --out are negatives.md, negatives.csv and
negatives.png.
"""

import sys
import time
from pathlib import Path
from typing import Any

from dim_training import negatives_table
from dim_training.budget import minutes_of
from dim_training.command_line import Parser, exit_code, spelt
from dim_training.continuing import carry_out
from dim_training.errors import BadInput
from dim_training.options import ESTIMATORS, requested
from dim_training.output import expendable_output
from dim_training.recipes import RECIPES
from dim_training.resolving import resolve

DEFAULTS = {
    "recipe": "paper", "data": "digits", "gamma": 0.0, "lr": 1e-3, "units": 256, "scale": 0.0, "locations": 1,
    "epochs": 8.0, "log_every": 20, "measures": "probes",
}  # fmt: skip
SMOKE = {"epochs": 1.0, "train_images": 192, "test_images": 80, "units": 32, "log_every": 1, "probe_epochs": 2}
COMPARED = ("infonce", "dv", "jsd")
TAKEN = ("out", "seed", "estimator", "negatives", "objective", "untrained", "supervised_baseline", "minutes")


@expendable_output()
def main(arguments: list[str] | None = None) -> int:
    """Train the grid of runs as far as the budget allows, and print the table of the finished runs."""
    parser = Parser("negatives", __doc__)
    parser.add_argument("--estimators", nargs="+", default=list(COMPARED), choices=ESTIMATORS)
    parser.add_argument(
        "--counts", nargs="+", type=int, help="other images a global is scored against (1 4 16 ... batch - 1)"
    )
    parser.add_argument("--seeds", type=int, default=2, help="runs of each kind (default: 2)")
    parser.add_argument(
        "--budget", metavar="TIME", default="20m", help="begin no run that would end later (default: 20m)"
    )
    parser.add_argument("--out", type=Path, help="where everything goes (default: runs/negatives)")
    parser.add_argument("--smoke", action="store_true", help="a few steps of one estimator, to see that it runs")
    parser.add_run_options(RECIPES[DEFAULTS["recipe"]] | DEFAULTS, leave_out=TAKEN)
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    estimators, counts, seeds, budget, out, smoke = (
        given.pop(name) for name in ("estimators", "counts", "seeds", "budget", "out", "smoke")
    )
    if smoke:
        given = {**SMOKE, **given}
        estimators, counts, seeds = estimators[:1], counts or [1, 63], 1
    out = out or Path("runs/negatives-smoke" if smoke else "runs/negatives")

    def work() -> int:
        rows = grid({**DEFAULTS, **given}, estimators, counts, seeds, minutes_of(budget), out)
        text = negatives_table.write(rows, spelt("negatives", arguments), out)
        print(f"\n{text}\nIn {out}: negatives.md, negatives.csv, negatives.png")
        return 0

    return exit_code("negatives", out, work)


def grid(
    given: dict[str, Any], estimators: list[str], counts: list[int] | None, seeds: int, minutes: float, out: Path
) -> list[dict[str, Any]]:
    """Make one run after the other, all counts and estimators for a seed and then for the next; return their rows."""
    if seeds < 1:
        raise BadInput(f"--seeds: expected at least 1; got {seeds}")
    first = resolve({**given, "out": "unused"})
    if "probes" not in requested(first):
        raise BadInput(f"--measures: expected probes among them, which the table compares; got {first.measures}")
    batch = first.batch
    counts = counts or geometric(batch - 1)
    if min(counts) < 1 or max(counts) > batch - 1:
        raise BadInput(f"--counts: expected numbers from 1 to {batch - 1}, the others in a batch; got {counts}")
    wanted = [(seed, count, estimator) for seed in range(seeds) for count in counts for estimator in estimators]
    rows: list[dict[str, Any]] = []
    begun, longest = time.perf_counter(), 0.0
    for seed, count, estimator in wanted:
        start = time.perf_counter()
        if rows and start - begun + longest > 60 * minutes:
            print(f"\nnegatives: {len(rows)} of {len(wanted)} runs made within --budget; the same command goes on")
            break
        options = resolve(
            {
                **given,
                "estimator": estimator,
                "negatives": count,
                "seed": seed,
                "untrained": (count, estimator) == (counts[0], estimators[0]),
                "out": str(out / f"{estimator}-{count}-{seed}"),
            }
        )
        results = carry_out(options)
        longest = max(longest, time.perf_counter() - start)
        rows.append({"estimator": estimator, "negatives": count, "seed": seed, "results": results})
    return rows


def geometric(most: int) -> list[int]:
    """Return 1, 4, 16, ... and ``most``."""
    counts = [4**power for power in range(most.bit_length()) if 4**power <= most / 2]
    return [*counts, most]


if __name__ == "__main__":
    sys.exit(main())
