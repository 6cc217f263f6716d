"""Run the Python blocks of Markdown pages: the code on a page must work as shown.

The blocks of a page run in order and share their names, as in a reader's session. A block that starts with ``>>>`` is a
doctest; its output is compared. A block after the comment ``<!-- not run: REASON -->`` is left out. A block after
``<!-- needs: PACKAGE -->`` is left out if that package is not installed.

This script needs only the standard library, so that the wheel can be tried with nothing else installed:
``python -I tests/markdown_blocks.py README.md``.
"""

from __future__ import annotations

import doctest
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(
    r"(?P<skip><!-- not run: [^\n]+ -->\n+)?"
    r"(<!-- needs: (?P<needs>\w+) -->\n+)?"
    r"^(?P<fence>`{3,})(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A Python block and the number of its first line of code."""

    code: str
    line: int


def python_blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a page that are to be run."""
    for match in _BLOCK.finditer(text):
        missing = match["needs"] is not None and importlib.util.find_spec(match["needs"]) is None
        if match["language"] in ("python", "py", "pycon") and not match["skip"] and not missing:
            yield Block(match["code"], text.count("\n", 0, match.start("code")) + 1)


def run_page(text: str, name: str) -> int:
    """Run the blocks of a page in order, in one namespace, and return their number."""
    names: dict[str, object] = {"__name__": "__page__"}
    count = 0
    for block in python_blocks(text):
        if block.code.startswith(">>>"):
            _run_doctest(block, name, names)
        else:
            padding = "\n" * (block.line - 1)  # so that tracebacks show the line numbers of the page
            exec(compile(padding + block.code, name, "exec"), names)
        count += 1
    return count


def _run_doctest(block: Block, name: str, names: dict[str, object]) -> None:
    test = doctest.DocTestParser().get_doctest(block.code, names, name, name, block.line - 1)
    report: list[str] = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    if runner.run(test, out=report.append, clear_globs=False).failed:
        raise AssertionError("".join(report))
    names.update(test.globs)


if __name__ == "__main__":
    for page in sys.argv[1:]:
        number = run_page(Path(page).read_text(encoding="utf-8"), page)
        if number == 0:
            sys.exit(f"{page}: no Python block to run")
        print(f"{page}: {number} Python block(s) ran")
