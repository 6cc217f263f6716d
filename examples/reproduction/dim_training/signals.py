"""Handling of Ctrl-C and SIGTERM: the current step is finished and saved before the run ends."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


class Interrupted(Exception):  # noqa: N818
    """A signal stopped the training, and a checkpoint has been written."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number


@contextlib.contextmanager
def watched(*, once: bool) -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list, instead of stopping at once.

    Args:
        once: whether a second signal stops the process at once, for users who do not want to wait. It must be False
            under torchrun, which repeats the signal that it receives.
    """
    caught: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _: object) -> None:
        caught.append(number)
        if once:
            for each, handler in before.items():
                signal.signal(each, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
