"""The reference: every public name is on a page, and its docstring has what a reader needs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

import infomax

DOCS = Path(__file__).resolve().parents[1] / "docs"
ROOMS = (
    "critics", "encoders", "estimators", "evaluation", "features", "functional", "losses", "mi", "mi.tasks", "ops",
    "pairs", "prior", "scores", "training", "variants",
)  # fmt: skip
# Made by a loss with `gather=` in a process group, which a docstring cannot start.
NEED_PROCESSES = {"GatheredScores", "RingScores", "gather_scores"}
SHAPE = re.compile(r"\((?:[NMKPQJLRn]|\w+(?: \+ \w+)?), ?|\(n,|\bscalar\b|Scalar|[Ss]hape|vectors? of length")


def public() -> Iterator[tuple[str, object]]:
    """Every public class and function, once, by the name that a user imports."""
    seen = set()
    for room in ("", *ROOMS):
        module = import_module(f"infomax.{room}" if room else "infomax")
        for name in module.__all__:
            item = getattr(module, name)
            if isinstance(item, ModuleType) or not (inspect.isclass(item) or inspect.isfunction(item)):
                continue  # a room, or an alias of a type
            if item not in seen:
                seen.add(item)
                yield f"{room}.{name}".lstrip("."), item


NAMES = dict(public())


def text_of(item: object) -> str:
    """The docstring; for a class those of its constructor's options and of its own public methods, too."""
    own = [inspect.getdoc(item) or ""]
    if inspect.isclass(item):
        own += [inspect.getdoc(part) or "" for name, part in vars(item).items() if not name.startswith("_")]
    return "\n".join(own)


def raises(item: object) -> bool:
    """Whether its own code, or its constructor's, raises for bad input."""
    code = item
    if inspect.isclass(item):
        code = next((vars(item)[name] for name in ("__post_init__", "__init__") if name in vars(item)), None)
    if not inspect.isfunction(code) or code.__module__ != item.__module__ or code.__code__.co_filename == "<string>":
        return False  # made by a data class or a protocol
    return re.search(r"^\s+raise (Type|Value)Error", inspect.getsource(code), re.MULTILINE) is not None


def takes_tensors(item: object) -> bool:
    call = item.__dict__.get("forward") if inspect.isclass(item) else item
    return call is not None and "Tensor" in str(inspect.signature(call))


def complaints(name: str, item: object) -> list[str]:
    text, found = text_of(item), []
    if not inspect.getdoc(item):
        found.append("no docstring")
    if ">>>" not in text and name.rpartition(".")[2] not in NEED_PROCESSES:
        found.append("no example")
    if raises(item) and "Raises:" not in text:
        found.append("an error that `Raises` does not name")
    if takes_tensors(item) and not SHAPE.search(text):
        found.append("tensors without a shape")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_docstrings(name: str) -> None:
    assert complaints(name, NAMES[name]) == []


def test_every_name_has_an_entry() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    entries = set(re.findall(r"auto(?:class|function|data):: ([\w.]+)", pages))
    whole = [
        module for module, rest in re.findall(r"automodule:: ([\w.]+)\n((?:   .*\n)*)", pages) if ":members:" in rest
    ]
    shown = {entry.rpartition(".")[2] for entry in entries}
    missing = [
        name for name, item in NAMES.items()
        if name.rpartition(".")[2] not in shown and not any(item.__module__.startswith(module) for module in whole)
    ]  # fmt: skip
    assert missing == []


def test_titles_differ() -> None:
    """A page that is searched for by its title is found."""
    titles = [
        page.read_text(encoding="utf-8").split("\n")[0] for page in DOCS.rglob("*.md") if "_build" not in page.parts
    ]
    titles = [title for title in titles if title.startswith("# ")]
    assert sorted({title for title in titles if titles.count(title) > 1}) == []


class TestTheCheck:
    """It refuses what it should."""

    def test_a_bare_function(self) -> None:
        def bare(rows: torch.Tensor) -> None:
            """Do something."""
            if rows is None:
                raise ValueError("rows must be there")

        assert complaints("bare", bare) == [
            "no example",
            "an error that `Raises` does not name",
            "tensors without a shape",
        ]

    def test_nothing_said(self) -> None:
        assert "no docstring" in complaints("f", lambda: None)

    def test_all_rooms_are_looked_at(self) -> None:
        there = {name for name in infomax.__all__ if isinstance(getattr(infomax, name), ModuleType)}
        assert there <= set(ROOMS)
        assert len(NAMES) > 150
