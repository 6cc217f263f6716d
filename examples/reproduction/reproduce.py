"""Reproduce rows of the paper's tables: each recipe makes a row, with the published figures beside it.

    python examples/reproduction/reproduce.py --list
    python examples/reproduction/reproduce.py cifar10/dim-local-infonce --data-root data --download
    python examples/reproduction/reproduce.py cifar10/vae cifar10/dim-local-jsd --budget 20m    # training time of both
    python examples/reproduction/reproduce.py cifar10 --budget 2h                               # the whole table

A recipe is a file in examples/reproduction/recipes/: the options of train_dim.py that make the row, and the published
figures. An option given on the command line overrides the recipe, and the table says so. The same command, run again,
continues where it was stopped. Everything is written to --out: table.md, table.csv, learning.png, and a run folder for
each recipe.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from dim_training import recipe_files, reproduction
from dim_training.budget import minutes_of
from dim_training.command_line import Parser, exit_code, spelt
from dim_training.errors import BadInput
from dim_training.options import Options
from dim_training.output import expendable_output
from dim_training.recipe_files import Recipe
from dim_training.reproduction import Row

SMOKE_RECIPES = ["cifar10/dim-local-jsd", "cifar10/autoencoder"]
SMOKE = {
    "data": "digits", "epochs": 2.0, "batch": 64, "units": 32, "train_images": 192, "test_images": 80, "log_every": 1,
    "probe_epochs": 2, "probe_images": 100, "measures": "probes",
}  # fmt: skip


@expendable_output()
def main(arguments: list[str] | None = None) -> int:
    """Read the command line, make one row after the other, write the table after each."""
    given: dict[str, Any] = vars(parser().parse_intermixed_args(arguments))
    names, budget, smoke, shown = (given.pop(name) for name in ("recipes", "budget", "smoke", "list"))
    if not (names or smoke or shown):
        parser().error("expected a RECIPE: see --list")
    if budget and {"epochs", "minutes"} & set(given):
        parser().error("--budget: expected in place of --epochs and --minutes; got both")
    out = Path(given.pop("out", "runs/reproduce-smoke" if smoke else "runs/reproduce"))

    def work() -> int:
        if shown:
            print_list(recipe_files.find(names) if names else recipe_files.every())
            return 0
        recipes = recipe_files.find(names or SMOKE_RECIPES)
        minutes = minutes_of(budget) / max(1, sum(recipe.trains for recipe in recipes)) if budget else 0.0
        return make(recipes, {**SMOKE, **given} if smoke else given, out, minutes, spelt("reproduce", arguments))

    return exit_code("reproduce", out, work)


def parser() -> Parser:
    """Build the parser: this script's own arguments, then those of train_dim.py except a few."""
    made = Parser("reproduce", __doc__)
    made.add_argument(
        "recipes", nargs="*", metavar="RECIPE", help="names that --list shows, a folder of them, or files"
    )
    made.add_argument("--list", action="store_true", help="print the recipes and their published figures")
    made.add_argument("--budget", metavar="TIME", help="training time in all, such as 90s, 20m or 1h30m, shared evenly")
    made.add_argument("--data-root", dest="root", default=argparse.SUPPRESS, help="the same as --root")
    made.add_argument("--out", default=argparse.SUPPRESS, help="where everything goes (default: runs/reproduce)")
    made.add_argument("--smoke", action="store_true", help="seconds on a few digits, two recipes unless some are named")
    made.add_run_options(leave_out=("recipe", "out", "untrained", "supervised_baseline"))
    return made


def make(recipes: list[Recipe], given: dict[str, Any], out: Path, minutes: float, command: str) -> int:
    """Make one row after the other and return the exit code; a row that cannot be made is reported and left out."""
    rows: list[Row] = []
    text, failed = "", 0
    for recipe in recipes:
        options = reproduction.options_of(recipe, smaller(recipe, given), out, minutes)
        print(f"{recipe.name}: {recipe.title} ({recipe.source}), {length_of(recipe, options)}", flush=True)
        try:
            rows.append(reproduction.run(recipe, options))
        except BadInput as error:
            print(f"reproduce: error: {recipe.name}: {error}", file=sys.stderr)
            failed += 1
            continue
        text = reproduction.write(rows, command, out)
    if text:
        print(f"\n{text}\nIn {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    return 2 if failed else 0


def smaller(recipe: Recipe, given: dict[str, Any]) -> dict[str, Any]:
    """Return the given options; digits, which have 32 pixels, are resized for the encoder of the recipe."""
    if given.get("data") != "digits" or "size" in given:
        return given
    return {**given, "size": recipe.settings.crop or recipe.settings.size}


def length_of(recipe: Recipe, options: Options) -> str:
    """Return the length of a run in words, before it starts."""
    if not recipe.trains:
        return "nothing to train"
    wanted, asked = recipe.settings, _length(options)
    return asked if asked == _length(wanted) else f"{asked} of training instead of {_length(wanted)}"


def _length(options: Options) -> str:
    length, unit = (options.epochs, "epoch") if options.epochs else (options.minutes, "minute")
    return f"{round(length, 3):g} {unit}{'' if length == 1 else 's'}"


def print_list(recipes: list[Recipe]) -> None:
    """Print names, titles and published figures, table by table."""
    table = ""
    for recipe in recipes:
        if recipe.table != table:
            table = recipe.table
            print(f"\n{table}")
        figures = "   ".join(f"{measure} {figure:5.2f}" for measure, figure in recipe.published.items())
        print(f"  {recipe.name:<28}{recipe.title:<24}{figures}")


if __name__ == "__main__":
    sys.exit(main())
