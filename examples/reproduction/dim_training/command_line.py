"""A command line whose errors are one line each and suggest the option that the user may have meant."""

import argparse
import difflib
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from .errors import BadInput, unusable
from .options import Options, flag_of
from .signals import Interrupted


class Parser(argparse.ArgumentParser):
    """An `argparse` parser that prints no usage before an error.

    Args:
        name: name of the script, without `.py`.
        description: docstring of the script.
    """

    def __init__(self, name: str, description: str | None) -> None:
        super().__init__(
            prog=name,
            usage=f"python examples/reproduction/{name}.py [options]",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def add_run_options(
        self, defaults: dict[str, Any] | None = None, leave_out: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Add an argument for every option of a run, except those in ``leave_out``.

        The arguments have no defaults, so an option that the user does not pass is absent from the parsed result.

        Args:
            defaults: values to show in the help as defaults; None shows none.
            leave_out: fields that get no argument.

        Returns:
            The argument groups by name, to add arguments that are not fields.
        """
        groups: dict[str, Any] = {}
        for f in fields(Options):
            if f.name in leave_out:
                continue
            name = f.metadata["group"]
            group = groups[name] = groups.get(name) or self.add_argument_group(name)
            flag, boolean = flag_of(f.name), isinstance(f.default, bool)
            shown = "" if defaults is None else defaults.get(f.name, f.default)
            shown = ("on" if shown else "off") if boolean and defaults is not None else shown
            text = f.metadata["help"].replace("%", "%%") + (f" (default: {shown})" if shown != "" else "")
            if boolean:
                group.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
            else:
                group.add_argument(
                    flag,
                    type=type(f.default),
                    choices=f.metadata["choices"],
                    metavar=None if f.metadata["choices"] else type(f.default).__name__.upper(),
                    default=argparse.SUPPRESS,
                    help=text,
                )
        return groups

    def error(self, message: str) -> NoReturn:
        """Print the error as one line, and exit with code 2."""
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


def spelt(script: str, arguments: list[str] | None) -> str:
    """Return the command that calls a script with these arguments, or with those of this process when None."""
    return shlex.join(
        ["python", f"examples/reproduction/{script}.py", *(sys.argv[1:] if arguments is None else arguments)]
    )


def exit_code(script: str, out: Path, work: Callable[[], int]) -> int:
    """Run ``work`` and return its exit code; print an error or a stop as one line, and return a code for it."""
    try:
        return work()
    except BadInput as error:
        said, code = f"error: {error}", 2
    except OSError as error:
        said, code = f"error: {unusable(error.filename or out, error)}", 2
    except (Interrupted, KeyboardInterrupt) as signal:
        said, code = "stopped; the same command goes on from here", getattr(signal, "exit_code", 130)
    print(f"{script}: {said}", file=sys.stderr)
    return code
