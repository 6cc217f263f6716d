"""The examples of the README and of the docs run, and the runner that checks them can fail."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from markdown_blocks import python_blocks, run_page

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/api").glob("*.md"))]
NEEDS = re.compile(r"<!-- needs: (\w+) -->")
SLOW = re.compile(r"<!-- slow: [^\n]+ -->")  # a page that trains for longer than the default suite may
# Not installed with the tests; their blocks are marked, and left out. The first two cannot be installed with the pinned
# packages, and infomeasure brings a package `tests` of its own.
APART = {"bmi", "torch_mist", "infomeasure"}
WITH_EXAMPLES = [page for page in PAGES if list(python_blocks(page.read_text(encoding="utf-8")))]


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore::DeprecationWarning")  # of libraries on the pages
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if SLOW.search(page.read_text(encoding="utf-8")) else [])
        for page in WITH_EXAMPLES
    ],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a page may write files
    text = page.read_text(encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # other libraries may warn on import
        for package in NEEDS.findall(text):
            if package in APART and importlib.util.find_spec(package) is None:
                continue
            pytest.importorskip(package, reason=f"{page.name} needs {package}")
    run_page(text, str(page))


def test_packages_that_a_page_needs_are_installed_with_the_tests() -> None:
    """CI installs these extras, so that no page is skipped there."""
    names = {"open_clip": "open-clip-torch", "info_nce": "info-nce-pytorch", "sklearn": "scikit-learn"}
    extras = project()["project"]["optional-dependencies"]
    installed = {
        re.split("[>=<;]", wanted)[0] for extra in ("examples", "integrations", "test") for wanted in extras[extra]
    }
    needed = {package for page in PAGES for package in NEEDS.findall(page.read_text(encoding="utf-8"))} - APART
    assert {"lightly", "open_clip", "pytorch_metric_learning", "info_nce", "torch_geometric"} <= needed
    assert {names.get(package, package.replace("_", "-")) for package in needed} <= installed


def test_the_pages_a_reader_meets_first_have_examples() -> None:
    names = {page.relative_to(ROOT).as_posix() for page in WITH_EXAMPLES}
    assert {"README.md", "docs/index.md", "docs/quickstart.md", "docs/estimators.md"} <= names


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_and_files_named_are_there(page: Path) -> None:
    """Check links, and paths in backticks that look like files of the repository."""
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    home = project()["project"]["urls"]["Homepage"]
    raw = home.replace("github.com", "raw.githubusercontent.com")
    links += re.findall(rf"\]\((?:{home}/blob|{raw})/main/([^)#]+)", text)
    if page.name == "README.md":
        assert all(link.startswith((home, raw)) for link in re.findall(r"\]\(([^)]+)\)", text)), (
            "an index shows it, too"
        )
        assert len(links) > 10
    files = re.findall(r"`((?:docs|examples|src|tests)/[\w./-]+)`", text)
    missing = sorted(name for name in {*links, *files} if "_build" not in name and not (ROOT / name).exists())
    assert not missing


def test_commands_of_the_front_page_are_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z]+)\b", text))
    assert {"demo", "test"} <= named <= targets
    for script in re.findall(r"^python (\S+\.py)", text, re.MULTILINE):
        assert (ROOT / script).is_file(), script


class TestTheRunner:
    """The runner fails where it should."""

    def test_an_error_in_a_block_is_raised_with_the_line_of_the_page(self) -> None:
        page = "# Title\n\n```python\nx = 1\nx / 0\n```\n"
        with pytest.raises(ZeroDivisionError) as error:
            run_page(page, "page.md")
        assert error.traceback[-1].lineno == 4  # counted from 0

    def test_a_wrong_output_is_refused(self) -> None:
        run_page("```python\n>>> 1 + 1\n2\n```\n", "page.md")
        with pytest.raises(AssertionError, match="Expected"):
            run_page("```python\n>>> 1 + 1\n3\n```\n", "page.md")

    def test_blocks_share_their_names_in_order(self) -> None:
        assert run_page("```python\nx = 1\n```\ntext\n```python\n>>> x\n1\n```\n", "page.md") == 2
        with pytest.raises(NameError):
            run_page("```python\nx\n```\n```python\nx = 1\n```\n", "page.md")

    def test_other_languages_and_marked_blocks_are_left_out(self) -> None:
        page = "```bash\nexit 1\n```\n```\nplain\n```\n<!-- not run: needs a GPU -->\n```python\n1 / 0\n```\n"
        assert run_page(page, "page.md") == 0

    def test_a_block_that_needs_a_package_is_left_out_where_it_is_missing(self) -> None:
        page = "<!-- needs: {} -->\n```python\n1 / 0\n```\n"
        assert run_page(page.format("no_such_package"), "page.md") == 0
        with pytest.raises(ZeroDivisionError):
            run_page(page.format("torch"), "page.md")
