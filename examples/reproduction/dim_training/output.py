"""Standard output and standard error that cannot be written, which do not stop a training."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO


class Expendable:
    """A text stream that drops everything after an error, and escapes characters that its encoding lacks."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self.stream, self.name = stream, name

    def write(self, text: str) -> int:
        """Write and flush, so that no error is left for later."""
        encoding = self.stream.encoding or "utf-8"
        try:
            self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self.stream.flush()
        except OSError as error:
            with Path(os.devnull).open("wb") as nowhere:  # what the stream still holds goes there too, also at exit
                os.dup2(nowhere.fileno(), self.stream.fileno())
            print(f"train_dim: {self.name} cannot be written ({error.strerror}): it is left out", file=sys.stderr)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def expendable_output() -> Iterator[None]:
    """Go on where standard output or standard error is full, closed or a pipe that nobody reads."""
    with ExitStack() as stack:
        nowhere = stack.enter_context(Path(os.devnull).open("w"))  # Python has None for a stream that was closed
        stack.enter_context(redirect_stdout(Expendable(sys.stdout or nowhere, "standard output")))
        stack.enter_context(redirect_stderr(Expendable(sys.stderr or nowhere, "standard error")))
        yield
