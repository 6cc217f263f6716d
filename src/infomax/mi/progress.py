"""A progress bar, where one is asked for; needs tqdm."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module
from types import TracebackType
from typing import Any

__all__ = ["Bar"]


class Bar(AbstractContextManager["Bar"]):
    """Shows training steps with tqdm, or nothing.

    Args:
        visible: whether to show.

    Raises:
        ImportError: tqdm is not installed, and a bar is asked for.
    """

    def __init__(self, visible: bool) -> None:
        self._bar: Any = None
        if visible:
            try:
                tqdm = import_module("tqdm.auto").tqdm
            except ImportError as error:
                raise ImportError("progress=True needs tqdm: pip install 'infomax[plot]'") from error
            self._bar = tqdm(desc="estimate_mi", unit="step")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, step: int, steps: int) -> None:
        """Move to ``step`` of ``steps``."""
        if self._bar is not None:
            self._bar.total = steps
            self._bar.update(step - self._bar.n)
