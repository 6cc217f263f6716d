"""Recipe files. Each has the options of train_dim.py that make a row of a published table, and the row's figures."""

import difflib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .errors import BadInput
from .options import Options
from .resolving import resolve

FOLDER = Path(__file__).resolve().parents[1] / "recipes"
MEASURES = {
    "conv": "probe on the last convolution",
    "fc": "probe on the last hidden layer",
    "y": "probe on y",
    "classifier": "the classifier trained with the encoder",
    "probe": "a probe of a layer that the table does not name",
    "semi-supervised": "the encoder fine-tuned with labels",
}
KEYS = {"title": str, "table": str, "row": int, "source": str, "published": dict, "options": dict, "notes": str}


@dataclass(frozen=True)
class Recipe:
    """One row. ``published`` maps a measure to its figure in %; ``options`` has the options that are not defaults."""

    name: str
    title: str
    table: str
    row: int
    source: str
    published: dict[str, float]
    options: dict[str, Any]
    notes: str

    @property
    def settings(self) -> Options:
        """All options of the row at its full length."""
        return resolve({**self.options, "out": "unused"})

    @property
    def trains(self) -> bool:
        """Whether the recipe trains; False for the row of the untrained encoder."""
        return bool(self.settings.epochs or self.settings.minutes)


def find(names: list[str]) -> list[Recipe]:
    """Return the recipes of these names. A name may also be a folder, for all recipes in it, or a path to a file."""
    found: dict[str, Recipe] = {}
    for name in names:
        if name.endswith(".json"):
            recipes = [read(Path(name))]
        elif name and (FOLDER / name).is_dir():
            recipes = every(FOLDER / name)
        elif (FOLDER / f"{name}.json").is_file():
            recipes = [read(FOLDER / f"{name}.json")]
        else:
            known = [recipe.name for recipe in every()]
            near = difflib.get_close_matches(name, known, n=3) or known[:3]
            raise BadInput(f"RECIPE: expected a name that --list shows; got {name!r}: perhaps {', '.join(near)}")
        found |= {recipe.name: recipe for recipe in recipes}
    return list(found.values())


def every(folder: Path = FOLDER) -> list[Recipe]:
    """Return all recipes below ``folder``, table by table, in the order of the rows."""
    recipes = [read(path) for path in sorted(folder.rglob("*.json"))]
    return sorted(recipes, key=lambda recipe: (recipe.name.rpartition("/")[0], recipe.row, recipe.name))


def read(path: Path) -> Recipe:
    """Read and check one file: keys, types, measures, options and their values."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: expected a recipe, a JSON file; got: {error}") from error
    if not isinstance(content, dict) or set(content) != set(KEYS):
        came = ", ".join(content) if isinstance(content, dict) else type(content).__name__
        raise BadInput(f"{path}: expected the keys {', '.join(KEYS)}; got {came}")
    for key, kind in KEYS.items():
        if not _is(content[key], kind):
            raise BadInput(f"{path}: {key}: expected {_spelt(kind)}; got {content[key]!r}")
    for measure, figure in content["published"].items():
        if measure not in MEASURES:
            raise BadInput(f"{path}: published: expected some of {', '.join(MEASURES)}; got {measure!r}")
        if not _is(figure, float) or not 0 <= figure <= 100:
            raise BadInput(f"{path}: published: expected {measure} in %, between 0 and 100; got {figure!r}")
    for name, value in content["options"].items():
        _check_option(path, name, value)
    inside = path.resolve().is_relative_to(FOLDER)
    name = path.resolve().relative_to(FOLDER).with_suffix("").as_posix() if inside else path.stem
    recipe = Recipe(name=name, **content)
    try:
        _ = recipe.settings
    except BadInput as error:
        raise BadInput(f"{path}: options: {error}") from error
    return recipe


def _check_option(path: Path, name: str, value: Any) -> None:
    """Refuse an option that train_dim.py does not have or that cannot change the result, and a wrong value."""
    places = ("root", "test_root")  # allowed, for a data set that unpacks to image folders
    known = {f.name: f for f in fields(Options) if not f.metadata["free"] or f.name in places}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f": perhaps {near[0]}" if near else ""
        raise BadInput(f"{path}: options: expected options of train_dim.py that decide the result; got {name!r}{hint}")
    kind, choices = type(known[name].default), known[name].metadata["choices"]
    if not _is(value, kind):
        raise BadInput(f"{path}: options: expected {_spelt(kind)} for {name}; got {value!r}")
    if choices and value not in choices:
        raise BadInput(f"{path}: options: expected {name} to be one of {', '.join(map(str, choices))}; got {value!r}")


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)


def _spelt(kind: type) -> str:
    return {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "a table"}[kind]
