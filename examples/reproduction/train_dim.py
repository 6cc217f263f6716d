"""Train an encoder with Deep InfoMax on images, without labels, and measure what it has learnt.

    python examples/reproduction/train_dim.py --data cifar10 --download --minutes 20
    python examples/reproduction/train_dim.py --data folder --root my_images/ --size 64 --minutes 30
    python examples/reproduction/train_dim.py --out runs/cifar10-infonce-0 --resume
    torchrun --nproc-per-node 2 examples/reproduction/train_dim.py --data cifar10 --epochs 100    # a process per GPU

All files that a run writes are in its folder: config.json, metrics.csv, probes.csv, TensorBoard events, checkpoint.pt,
encoder.pt (a plain state dict) with encoder.json, results.json, report.md and report.html. The defaults shown below are
those of the --recipe in force; `--recipe paper --help` shows those of another one. Each part of the script is a small
file in dim_training/.
"""

import argparse
import contextlib
import os
import sys
from dataclasses import replace
from typing import Any

from dim_training import checkpoint, continuing, resolving
from dim_training.command_line import Parser
from dim_training.effects import refuse_idle
from dim_training.errors import BadInput, unusable
from dim_training.lock import locked
from dim_training.options import Options
from dim_training.output import expendable_output
from dim_training.recipes import RECIPES
from dim_training.run_folder import RunFolder
from dim_training.session import conduct
from dim_training.signals import Interrupted
from dim_training.team import Stopped, Team

SMOKE = {
    "data": "digits", "epochs": 2.0, "minutes": 0.0, "batch": 64, "units": 32, "locations": 8, "train_images": 320,
    "test_images": 100, "log_every": 1, "probe_epochs": 2, "probe_images": 200,
    "measure_images": 100, "measure_epochs": 2, "semi_labels": 100, "semi_epochs": 2,
}  # fmt: skip


@expendable_output()
def main(arguments: list[str] | None = None) -> int:
    """Read the command line and run; print errors that a user can correct as one line, and return the exit code."""
    given: dict[str, Any] = vars(parser(arguments).parse_args(arguments))
    resume, smoke = given.pop("resume"), given.pop("smoke")
    out = ""
    try:
        team = Team(given.get("device", "auto"))
    except (RuntimeError, ValueError) as error:
        print(f"train_dim: error: torchrun: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    try:
        with contextlib.ExitStack() as stack:
            options, state = team.from_first(lambda: start(given, smoke, resume, stack))
            out = options.out
            shrink = "batch" not in given and not resume
            conduct(options, team, state, shrink=shrink)
            if options.supervised_baseline and team.rank == 0:
                baseline(options, stack, shrink=shrink)
    except BadInput as error:
        team.complain(f"error: {error}")
        return 2
    except OSError as error:
        team.complain(f"error: {unusable(error.filename or out, error)}")
        return 2
    except Stopped:
        return 2
    except RuntimeError as error:
        if not team.has_lost(error):
            raise
        team.complain("error: another process has failed; the reason is in its output")
        return 2
    except Interrupted as signal:
        if team.rank == 0:
            team.complain(f"{signal}: checkpoint written; go on with --out {out} --resume")
        return signal.exit_code
    except KeyboardInterrupt:  # while reading images or probing, when the training is saved
        go_on = f"go on with --out {out} --resume" if out and RunFolder(out).trained else "nothing was trained yet"
        team.complain(f"stopped; {go_on}")
        return 130
    finally:
        team.leave()
    return 0


def parser(arguments: list[str] | None) -> Parser:
    """Build the command line, whose help shows the defaults of the recipe that the arguments name."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--recipe", choices=tuple(RECIPES), default="fast")
    recipe = "fast"
    with contextlib.suppress(argparse.ArgumentError):  # the full parser reports the error
        recipe = first.parse_known_args(arguments)[0].recipe
    made = Parser("train_dim", __doc__)
    most_used = made.add_run_options(RECIPES[recipe])["most used"]
    most_used.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, exactly where it stopped"
    )
    made.add_argument("--smoke", action="store_true", help="a run of seconds on a few digits, to try things out")
    return made


def start(
    given: dict[str, Any], smoke: bool, resume: bool, stack: contextlib.ExitStack
) -> tuple[Options, dict[str, Any] | None]:
    """Lock the run folder; return the options of a new run, or options and checkpoint of the one to continue."""
    asked, given = given, {**SMOKE, **given} if smoke else given
    options = resolving.resolve(given)
    if not resume:
        refuse_idle(asked, options)
    if options.supervised_baseline and "TORCHELASTIC_RUN_ID" in os.environ:
        raise BadInput("--supervised-baseline: expected no torchrun; train that run by --objective supervised")
    folder = RunFolder(options.out)
    if resume and not folder.trained and not folder.config.exists():
        raise BadInput(f"--resume: expected a run in {folder.path} (config.json and checkpoint.pt); there is none")
    stack.enter_context(locked(folder.path))
    if not resume:
        folder.begin()
        return options, None
    state = checkpoint.read(folder) if folder.trained else None
    return resolving.resume(given, continuing.saved(folder, state), folder.path), state


def baseline(options: Options, stack: contextlib.ExitStack, *, shrink: bool) -> None:
    """Train the same encoder with labels, in a subfolder of the run; then write the report again, with its row."""
    with_labels = replace(
        options,
        objective="supervised",
        out=f"{options.out}/supervised",
        start_from="",
        untrained=False,
        supervised_baseline=False,
    )
    for each in (with_labels, options):
        folder = RunFolder(each.out)
        if each is with_labels:
            stack.enter_context(locked(folder.path))
        conduct(each, Team(), checkpoint.read(folder) if folder.trained else None, shrink=shrink)


if __name__ == "__main__":
    sys.exit(main())
