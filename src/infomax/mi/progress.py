"""An optional progress bar with named phases; needs tqdm."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from infomax._checks import check_flag
from infomax._extras import require

__all__ = ["Bar"]


class Bar(AbstractContextManager["Bar"]):
    """A progress bar of the phases of an estimate, or nothing.

    Args:
        visible: whether to show the bar.

    Raises:
        ImportError: ``visible`` is True, and tqdm is not installed.
    """

    def __init__(self, visible: bool) -> None:
        self._bar: Any = None
        if check_flag("progress", visible):
            tqdm = require("tqdm.auto", package="tqdm", by="progress=True", extra="plot").tqdm
            self._bar = tqdm(desc="estimate_mi", unit="step")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            if kind is None and self._bar.total:  # the last phase is over, though it reported no step
                self._bar.update(self._bar.total - self._bar.n)
            self._bar.close()

    def phase(self, name: str, steps: int) -> None:
        """Begin a phase with this number of steps."""
        if self._bar is not None:
            self._bar.reset(total=steps)
            self._bar.set_description(f"estimate_mi: {name}")

    def show(self, step: int, steps: int) -> None:
        """Move to ``step`` of ``steps``."""
        if self._bar is not None:
            self._bar.total = steps
            self._bar.update(step - self._bar.n)
