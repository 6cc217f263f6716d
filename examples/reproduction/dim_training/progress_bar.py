"""tqdm's progress bar. Without tqdm, which a GPU machine may lack, the bar is silent."""

from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["ProgressBar"]


class SilentBar:
    """The parts of tqdm's bar that the trainer uses; nothing is shown."""

    disable = True

    def __init__(self, iterable: Iterable[Any] = (), *_words: str, total: int | None = None, **_looks: Any) -> None:
        self.iterable, self.total, self.n = iterable, total, 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self.iterable)

    def nothing(self, *_args: Any, **_options: Any) -> None:
        """Show nothing."""

    update = set_postfix_str = refresh = close = nothing


ProgressBar: Any
try:
    from tqdm import tqdm as ProgressBar
except ImportError:
    ProgressBar = SilentBar
