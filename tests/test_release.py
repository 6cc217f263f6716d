"""The published files: the same version everywhere, and the intended contents and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

import infomax

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "infomax"


def _yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    citation = _yaml("CITATION.cff")
    written = [
        infomax.__version__,
        citation["version"],
        citation["preferred-citation"]["version"],
        _yaml("conda/recipe.yaml")["context"]["version"],
    ]
    assert written == [version("infomax")] * 4


def test_the_citation_names_a_date_and_the_papers_authors() -> None:
    citation = _yaml("CITATION.cff")
    preferred = citation["preferred-citation"]
    released = citation["date-released"]
    assert (released.year, released.month) == (preferred["year"], preferred["month"])
    assert preferred["url"] == citation["url"]
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]][::6] == ["Hjelm", "Bengio"]


def test_the_recipe_for_conda_needs_what_the_package_needs() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    recipe = _yaml("conda/recipe.yaml")
    needed = [re.sub(r"^torch\b", "pytorch", entry).replace(">=", " >=") for entry in project["dependencies"]]
    assert recipe["requirements"]["run"] == ["python >=${{ python_min }}", *needed]
    assert ">=" + recipe["context"]["python_min"] == project["requires-python"]
    assert recipe["about"]["license"] == project["license"]


def test_links_of_the_readme_work_outside_the_repository() -> None:
    """A package index shows the README alone, so its links are full addresses.

    Addresses of this repository name existing files.
    """
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert len(targets) > 20
    for target in targets:
        assert target.startswith("https://"), target
        ours = re.match(
            r"https://(?:github\.com|raw\.githubusercontent\.com)/infomax-torch/infomax/(?:\w+/)?main/([^#]+)", target
        )
        if ours:
            assert (ROOT / ours[1]).exists(), target


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and the source distribution, and return their folder."""
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--sdist",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_the_wheel_is_typed_and_holds_the_package_alone(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "infomax/py.typed" in names
    held = {name for name in names if name.startswith("infomax/") and name.endswith(".py")}
    assert held == {path.relative_to(SOURCE.parent).as_posix() for path in SOURCE.rglob("*.py")}
    assert {name.partition("/")[0] for name in names} == {"infomax", f"infomax-{version('infomax')}.dist-info"}


def test_the_source_distribution_holds_what_its_tests_need_and_nothing_made(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    needed = [
        "conftest.py",
        "pyproject.toml",
        "tests/contracts/values.py",
        "docs/figures/idea.png",
        "README.md",
        "LICENSE",
    ]
    assert {*needed, "conda/recipe.yaml", "CITATION.cff", "Makefile", "constraints.txt"} <= files
    made = ("/_build/", "__pycache__", ".ipynb", "/generated/")
    assert not [name for name in files if any(part in name for part in made) or name.startswith((".venv", "runs/"))]
