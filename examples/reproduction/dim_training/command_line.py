"""A command line whose errors are one line each, and name what was perhaps meant."""

import argparse
import difflib
import re
import sys
from pathlib import Path
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """`argparse` without the page of usage before an error.

    Args:
        name: of the script, without `.py`.
        description: its docstring.
    """

    def __init__(self, name: str, description: str | None) -> None:
        super().__init__(
            prog=name,
            usage=f"python examples/reproduction/{name}.py [options]",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """One line, and exit code 2."""
        print(f"{self.prog}: error: {message}{self._hint(message)}", file=sys.stderr)
        sys.exit(2)

    def _hint(self, message: str) -> str:
        unknown = re.match(r"unrecognized arguments: (--[^ =]+)", message)
        if unknown:
            return _near(unknown[1], list(self._option_string_actions)) or "; --help lists all options"
        wrong = re.match(r"argument (--[\w-]+): invalid choice: '([^']*)'", message)
        if wrong and wrong[1] == "--data" and (Path(wrong[2]).exists() or "/" in wrong[2]):
            return f"; for images of your own pass --data folder --root {wrong[2]}"
        if wrong:
            return _near(wrong[2], [str(choice) for choice in self._option_string_actions[wrong[1]].choices])
        return ""


def _near(word: str, known: list[Any]) -> str:
    found = difflib.get_close_matches(word, known, n=1)
    return f": did you mean {found[0]}?" if found else ""
