"""The row of a recipe: the run that makes it, and the table that shows it beside the published row."""

import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

from . import figures, report, resolving
from .continuing import carry_out
from .errors import BadInput
from .files import write_text
from .options import Options
from .page import markdown_table
from .recipe_files import MEASURES, Recipe
from .recipes import RECIPES
from .run_folder import RunFolder, read_table, write_table


class Row(NamedTuple):
    """A recipe, its results, and the run folder."""

    recipe: Recipe
    results: dict[str, Any]
    folder: RunFolder

    @property
    def measured(self) -> dict[str, float]:
        """The measured figures in %, by measure."""
        training = self.results["training"]
        own = {"classifier": training["test_accuracy"]} if "test_accuracy" in training else {}
        semi = self.results["measures"].get("semi", {"rows": []})["rows"]
        tuned = [("semi-supervised", row["value"]) for row in semi if row["encoder"] == "trained"]
        return own | self.results["probes"].get("trained", {}) | dict(tuned)

    @property
    def length(self) -> str:
        """The length of the training and that of the recipe, as in `5.4 of 1000 epochs`."""
        wanted, training = self.recipe.settings, self.results["training"]
        if not self.recipe.trains:
            return "not trained"
        if wanted.minutes:
            return f"{_short(training['seconds'] / 60)} of {_short(wanted.minutes)} minutes"
        return f"{_short(training['epochs'])} of {_short(wanted.epochs)} epochs"

    @property
    def precision(self) -> str:
        """The precision of the training."""
        return "bfloat16" if self.results["options"].get("bf16") else "float32"

    @property
    def departures(self) -> list[str]:
        """All differences from the recipe, the length of the training first."""
        wanted, training = self.recipe.settings, self.results["training"]
        whole = (
            training["seconds"] >= 60 * wanted.minutes if wanted.minutes else training["epochs"] >= wanted.epochs - 1e-6
        )
        ran, said = self.results["options"], asdict(wanted)
        others = [
            f"{f.name.replace('_', ' ')} {_spelt(f.name, ran[f.name])} instead of {_spelt(f.name, said[f.name])}"
            for f in fields(Options)
            if f.name not in UNIMPORTANT
            and not f.metadata["free"]
            and not (f.name == "bf16" and takes_precision_from_processor(self.recipe))
            and not resolving.same(f.name, said[f.name], ran.get(f.name, f.default))
        ]
        measured = {name: value for settings in self.results["taken"].values() for name, value in settings.items()}
        others += [
            f"{name.replace('_', ' ')} {_spelt(name, value)} instead of {_spelt(name, said[name])}"
            for name, value in measured.items()
            if name not in UNIMPORTANT and value != said[name]
        ]
        return ([] if whole else [self.length]) + others


CURVE_POINTS = 6
ALL_IF_ZERO = ("train_images", "test_images", "locations", "negatives", "semi_labels", "measure_images")
UNIMPORTANT = ("recipe", "seed", "epochs", "minutes", "max_steps", "log_every", "untrained")


def takes_precision_from_processor(recipe: Recipe) -> bool:
    """Return whether the recipe trains in bfloat16 on some processors and in float32 on others."""
    return "bf16" in RECIPES[recipe.settings.recipe] and "bf16" not in recipe.options


def options_of(recipe: Recipe, given: dict[str, Any], out: Path, minutes: float = 0.0) -> Options:
    """Return the options of the recipe, overridden by ``given``; ``minutes``, unless 0, replace its length."""
    settings = {**recipe.options, **given}
    if not recipe.trains:
        settings |= {"epochs": 0.0, "minutes": 0.0}
    elif minutes:
        settings |= {"epochs": 0.0, "minutes": minutes}
    elif {"epochs", "minutes"} & set(given):
        settings |= {"epochs": given.get("epochs", 0.0), "minutes": given.get("minutes", 0.0)}
    if "quick_probes" not in given:
        settings["quick_probes"] = CURVE_POINTS if recipe.trains else 0
    if "semi-supervised" in recipe.published:
        settings.setdefault("measures", "probes,neighbours,semi")
    settings |= {"untrained": False, "out": str(out / recipe.name / f"seed-{settings.get('seed', 0)}")}
    return resolving.resolve(settings)


def run(recipe: Recipe, options: Options) -> Row:
    """Train, probe and report, or continue where an earlier call stopped."""
    return Row(recipe, carry_out(options), RunFolder(options.out))


def write(rows: list[Row], command: str, out: Path) -> str:
    """Write table.md, table.csv and learning.png to ``out``; return the tables as Markdown."""
    if not rows:
        raise BadInput("RECIPE: expected at least one row that could be made; got none")
    parts = []
    for name in dict.fromkeys(row.recipe.table for row in rows):
        mine = [row for row in rows if row.recipe.table == name]
        shared = _shared(mine)
        notes = [f"- Not as in any recipe: {'; '.join(shared)}."] if shared else []
        notes += [_note(row, shared) for row in mine]
        parts += [f"### {name}", markdown_table(_cells(mine)), "\n".join(notes)]
    probes = ", ".join(dict.fromkeys(str(row.results["options"]["probe_epochs"]) for row in rows))
    parts.append(
        "Test accuracy in %, one seed a row; `published` is the paper's figure for what is on its left. conv, fc and "
        f"y are probes with one hidden layer of 200 units on the frozen encoder, trained for {probes} epochs at a rate "
        "that falls from 3e-3; the paper trains its probes longer, from 1e-4."
    )
    parts.append(f"```bash\n{command}\n```")
    text = "\n\n".join(parts) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "table.md", text)
    lines = [_line(row) for row in rows]
    write_table(out / "table.csv", tuple(lines[0]), lines)
    curves = {row.recipe.name: read_table(row.folder.probes) for row in rows}
    curves = {name: points for name, points in curves.items() if len({point["step"] for point in points}) > 1}
    if curves:
        figures.learning_curves(curves, out / "learning.png")
    return text


def _cells(rows: list[Row]) -> list[list[str]]:
    """Return the cells of a table: for each measure that any row has, our figure and then the published one."""
    shown = [name for name in MEASURES if any(name in row.measured or name in row.recipe.published for row in rows)]
    published = [name for name in shown if any(name in row.recipe.published for row in rows)]
    head, body = ["row"], [[row.recipe.title] for row in rows]
    for name in shown:
        head += [name, "published"] if name in published else [name]
        for line, row in zip(body, rows, strict=True):
            line.append(_percent(row.measured.get(name)))
            if name in published:
                line.append(_percent(row.recipe.published.get(name)))
    head.append("trained")
    for line, row in zip(body, rows, strict=True):
        same = row.results["options"]["data"] == row.recipe.settings.data
        line.append(row.length if same else f"{row.length}, on {report.images_of(row.results['options'])}")
    return [head, *body]


def _short(length: float) -> str:
    return f"{length:.2g}" if length < 1 else f"{math.floor(10 * length) / 10:g}"  # rounded down: 9.99 is not 10


def _spelt(name: str, value: Any) -> str:
    return "all" if name in ALL_IF_ZERO and not value else str(value)


def _percent(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.2f}"


def _shared(rows: list[Row]) -> list[str]:
    """Return the departures that all rows of a table share, to report them once; none for a single row."""
    first, *others = rows
    return [one for one in first.departures if all(one in row.departures for row in others)] if others else []


def _note(row: Row, shared: list[str]) -> str:
    """Return one line: whether the setting is the published one, the row's own departures, and how it was made."""
    training, options = row.results["training"], row.results["options"]
    setting = "the recipe's" if row.recipe.source == "infomax" else "the published"
    own = [one for one in row.departures if one not in shared]
    verdict = (
        f"not {setting} setting" + (f": {'; '.join(own)}" if own else "") if row.departures else "as the recipe says"
    )
    made = [
        f"{training['seconds'] / 60:.1f} minutes of training",
        f"{training['train_images']:,} images of {report.images_of(options)}",
        f"seed {options['seed']}",
        row.precision,
        *(f"{name} {value}" for name, value in row.results["environment"].items() if name in ("torch", "commit")),
        row.results["environment"]["device"],
    ]
    notes = f" {row.recipe.notes}" if row.recipe.notes else ""
    return f"- `{row.recipe.name}`: {verdict}. {', '.join(made)}.{notes}"


def _line(row: Row) -> dict[str, Any]:
    """Return a line of table.csv."""
    training, environment = row.results["training"], row.results["environment"]
    line: dict[str, Any] = {"recipe": row.recipe.name, "title": row.recipe.title, "source": row.recipe.source}
    for name in MEASURES:
        line |= {name: row.measured.get(name), f"{name} published": row.recipe.published.get(name)}
    line |= {"trained": row.length, "departures": "; ".join(row.departures)}
    line |= {name: training[name] for name in ("epochs", "steps", "seconds", "images_per_second", "train_images")}
    line |= {"seed": row.results["options"]["seed"], "precision": row.precision}
    return line | {name: environment.get(name) for name in ("device", "torch", "infomax", "commit")}
