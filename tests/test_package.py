"""The package as a whole: the cost of importing it, the direction of its imports, and the contents of its wheel."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest

import infomax

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "infomax"
FILES = sorted(SOURCE.rglob("*.py"))

# Lowest first: a module imports from its own room and from the rooms before it.
STACK = [
    "_checks",
    "_precision",
    "_random",
    "_extras",
    "_modes",
    "_feature_pair",
    "_compiling",
    "_transforms",
    "ops",
    "pairs",
    "scores",
    "critics",
    "estimators",
    "functional",
    "prior",
    "losses",
]
# For each room beside the stack, the modules that it may import. Nothing in the stack imports these rooms.
SMALL = {"_checks", "_precision", "_random", "_extras", "_modes", "_feature_pair", "_compiling", "_transforms"}
BESIDE = {
    "features": SMALL,
    "encoders": {*SMALL, "features"},
    "variants": {*SMALL, "ops", "pairs", "critics"},
    "training": SMALL,
    "mi": {*STACK},
    "evaluation": {*STACK, "features", "encoders", "mi"},
}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Return which of the modules each module imports. An imported name that is a module counts as that module."""
    graph: dict[str, set[str]] = {}
    for module, tree in trees.items():
        names: list[str] = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                names += [name if name in trees else node.module for name in inner]
        graph[module] = {name for name in names if name in trees}
    return graph


def ring_in(graph: dict[str, set[str]]) -> list[str]:
    """Return a cycle of modules that import each other, with the first repeated at the end, or an empty list."""
    done: set[str] = set()

    def follow(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in done:
            return []
        for name in sorted(graph[module]):
            if ring := follow(name, [*trail, module]):
                return ring
        done.add(module)
        return []

    for module in sorted(graph):
        if ring := follow(module, []):
            return ring
    return []


def rooms_imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
            if node.module == "infomax":
                names = [f"infomax.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("infomax."))


def wrong_way(room: str, imported: str) -> bool:
    if imported == room:
        return False
    if room in BESIDE:
        return imported not in BESIDE[room]
    return imported not in STACK[: STACK.index(room)]


class TestLayers:
    def test_every_room_has_a_place(self) -> None:
        rooms = {room_of(path) for path in FILES} - {"__init__"}
        assert rooms <= {*STACK, *BESIDE}, "give a new room its place in STACK or BESIDE"

    def test_imports_only_go_down(self) -> None:
        wrong = [
            f"{path.relative_to(SOURCE)} imports {name}"
            for path in FILES
            if room_of(path) != "__init__"
            for name in sorted(set(rooms_imported(tree_of(path))))
            if wrong_way(room_of(path), name)
        ]
        assert not wrong, wrong

    @pytest.mark.parametrize(
        "line",
        [
            "from infomax.losses import DIMLoss",
            "import infomax.estimators",
            "def later():\n    from infomax import critics",
            "from infomax.features import tap",
        ],
    )
    def test_an_import_that_goes_up_is_seen(self, line: str) -> None:
        assert any(wrong_way("scores", name) for name in rooms_imported(ast.parse(line)))

    def test_relative_imports_are_not_used(self) -> None:
        """The checks of this file do not see relative imports."""
        for path in FILES:
            for node in ast.walk(tree_of(path)):
                assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: line {node.lineno}"

    def test_no_files_import_each_other(self) -> None:
        """Imports form no cycle of two or more modules, imports inside functions included."""
        graph = imports_of({module_of(path): tree_of(path) for path in FILES})
        assert sum(map(len, graph.values())) > 2 * len(FILES), "or nothing was read"
        ring = ring_in(graph)
        assert not ring, " -> ".join(ring)

    @pytest.mark.parametrize(
        ("sources", "ring"),
        [
            ({"a": "from infomax.b import x", "b": "def f():\n    import infomax.a"}, True),
            ({"a": "from infomax.b import x", "b": "from infomax import c", "c": "import infomax.a"}, True),
            ({"room": "from infomax.room.a import x", "room.a": "from infomax.room import y"}, True),
            ({"a": "from infomax.b import x\nfrom infomax.c import x", "b": "import infomax.c", "c": ""}, False),
        ],
    )
    def test_a_ring_is_seen(self, sources: dict[str, str], ring: bool) -> None:
        trees = {f"infomax.{name}": ast.parse(text) for name, text in sources.items()}
        assert bool(ring_in(imports_of(trees))) == ring


class TestSource:
    def test_no_assert(self) -> None:
        """`python -O` drops assertions, and their messages are not meant for users."""
        found = [
            f"{path.relative_to(SOURCE)}:{node.lineno}"
            for path in FILES
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Assert)
        ]
        assert not found, found

    def test_public_names_exist_and_are_documented(self) -> None:
        assert len(set(infomax.__all__)) == len(infomax.__all__)
        for name in infomax.__all__:
            assert getattr(infomax, name, None) is not None, name
            if not name.startswith("__"):
                assert getattr(infomax, name).__doc__, f"{name} has no docstring"

    def test_every_module_says_what_is_public(self) -> None:
        for info in pkgutil.walk_packages(infomax.__path__, "infomax."):
            if "triton" in info.name and not _is_installed("triton"):
                continue
            module = importlib.import_module(info.name)
            assert module.__doc__, f"{info.name} has no docstring"
            for name in getattr(module, "__all__", []):
                assert hasattr(module, name), f"{info.name}.__all__ names {name}, which is not there"


class TestImport:
    def test_it_loads_nothing_that_only_some_users_need(self) -> None:
        script = (
            "import json, sys, torch; before = set(sys.modules); import infomax;"
            "print(json.dumps(sorted(set(sys.modules) - before)))"
        )
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        loaded = {name.partition(".")[0] for name in json.loads(run.stdout)}
        assert "infomax" in loaded
        heavy = {
            "triton",
            "torchvision",
            "torchmetrics",
            "sklearn",
            "scipy",
            "matplotlib",
            "PIL",
            "pandas",
            "tensorboard",
            "tqdm",
        }
        assert not loaded & heavy

    def test_it_needs_what_it_declares_and_no_more(self) -> None:
        declared = {line.split(">")[0].strip() for line in requires("infomax") or [] if "extra ==" not in line}
        assert declared == {"torch", "einops", "numpy"}
        outside = {"__future__", "infomax", *sys.stdlib_module_names, *declared}
        optional = {"triton", "sklearn", "matplotlib"}  # imported by the functions that use them
        for path in FILES:
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.Import):
                    names = {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names = {node.module.partition(".")[0]}
                else:
                    continue
                assert names <= outside | optional, f"{path}: line {node.lineno}"


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
