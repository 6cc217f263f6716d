"""Train an encoder with Deep InfoMax on images, without labels, and measure what it has learnt.

    python examples/reproduction/train_dim.py --data cifar10 --download --minutes 20
    python examples/reproduction/train_dim.py --data folder --root my_images/ --size 64 --minutes 30
    python examples/reproduction/train_dim.py --out runs/cifar10-infonce-0 --resume

Everything a run makes is in its folder: config.json, metrics.csv, probes.csv, TensorBoard events, checkpoint.pt,
encoder.pt (a plain state dict), results.json, report.md and report.html. Each part is a small file in dim_training/.
"""

import argparse
import json
import sys
from dataclasses import replace
from typing import Any

from dim_training import options as opts
from dim_training.errors import BadInput
from dim_training.loop import Interrupted
from dim_training.options import Options
from dim_training.run_folder import RunFolder
from dim_training.session import conduct

SMOKE = {
    "data": "digits", "epochs": 2.0, "minutes": 0.0, "batch": 64, "units": 32, "locations": 8, "train_images": 320,
    "test_images": 100, "log_every": 1, "probe_epochs": 2, "probe_images": 200,
    "measure_images": 100, "measure_epochs": 2, "semi_labels": 100, "semi_epochs": 2,
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, run, and turn what a user can mend into one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, exactly where it stopped")
    parser.add_argument("--smoke", action="store_true", help="a run of seconds on a few digits, to try things out")
    opts.add_arguments(parser)
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    resume, smoke = given.pop("resume"), given.pop("smoke")
    try:
        options = settings({**SMOKE, **given} if smoke else given, resume=resume)
        conduct(options, resume=resume)
        if options.supervised_baseline and options.objective == "dim":
            folder = RunFolder(f"{options.out}/supervised")
            conduct(supervised(options), resume=folder.checkpoint.exists())
            conduct(options, resume=True)  # writes the report anew, now with the supervised row
    except BadInput as error:
        print(f"train_dim: error: {error}", file=sys.stderr)
        return 2
    except Interrupted as signal:
        print(f"train_dim: {signal}: checkpoint written; go on with --out {options.out} --resume", file=sys.stderr)
        return signal.exit_code
    except KeyboardInterrupt:  # while probing: training is done and saved
        print("train_dim: stopped before the report; the same command with --resume writes it", file=sys.stderr)
        return 130
    return 0


def settings(given: dict[str, Any], *, resume: bool) -> Options:
    """The options of a new run, or those of the run in ``--out`` where it is to go on."""
    if not resume:
        options = opts.resolve(given)
        RunFolder(options.out).begin()
        return options
    folder = RunFolder(opts.resolve(given).out)
    if not folder.config.exists() or not folder.checkpoint.exists():
        raise BadInput(f"--resume: expected a run in {folder.path} (config.json and checkpoint.pt); there is none")
    return opts.resume(given, json.loads(folder.config.read_text()), folder.path)


def supervised(options: Options) -> Options:
    """The same run with labels, in a folder inside it."""
    return replace(
        options, objective="supervised", out=f"{options.out}/supervised", untrained=False, supervised_baseline=False
    )


if __name__ == "__main__":
    sys.exit(main())
