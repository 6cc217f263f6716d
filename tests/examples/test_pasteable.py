"""An example that users may paste is self-contained: it imports nothing from other files of `examples`."""

import ast
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_it_imports_nothing_from_a_neighbour(name):
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"))
    imported = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    neighbours = {path.stem for path in EXAMPLES.rglob("*.py")} | {path.name for path in EXAMPLES.rglob("*/")}
    assert "infomax" in imported
    assert not {module.split(".")[0] for module in imported} & neighbours


def test_the_list_names_each_of_them():
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f"| [`{path.name}`]" not in listed] == []
