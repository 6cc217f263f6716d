"""The log of a run during training: the progress bar, metrics.csv and TensorBoard."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .objective import Step
from .progress_bar import ProgressBar
from .run_folder import RunFolder, Table
from .trainer import Trainer


class Events:
    """TensorBoard's writer. If it cannot write, the run goes on without events.

    The package may be missing, the disk may be full, or the path may not be UTF-8.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.writer: Any = None
        self.hook = threading.excepthook
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print("  (no TensorBoard events: the package is not installed)")
            return
        self.hook, threading.excepthook = threading.excepthook, self._leave_out
        with self._expendable():
            self.writer = SummaryWriter(str(path), purge_step=step + 1)

    def add(self, group: str, values: dict[str, float], step: int) -> None:
        """Write numbers under the names ``group/name``."""
        with self._expendable():
            for name, value in values.items() if self.writer else ():
                self.writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Write the pending events and close the writer."""
        with self._expendable():
            if self.writer:
                self.writer.close()
        threading.excepthook = self.hook

    def _leave_out(self, raised: threading.ExceptHookArgs) -> None:
        """Print no traceback of TensorBoard's thread, whose error `_expendable` prints."""
        if not type(raised.thread).__module__.startswith("tensorboard"):
            self.hook(raised)

    @contextlib.contextmanager
    def _expendable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, UnicodeError) as error:
            self.writer = None
            print(f"train_dim: no more TensorBoard events: {error}", file=sys.stderr)


class Log:
    """The progress bar and the rows of metrics.csv. Between two rows, nothing waits for the device."""

    def __init__(self, trainer: Trainer, folder: RunFolder, events: Events) -> None:
        self.trainer, self.events = trainer, events
        columns = ("step", "epoch", "seconds", "lr", "loss", *trainer.model.columns, "images_per_second")
        self.table = Table(folder.metrics, columns, trainer.step)
        self.last = (trainer.step, trainer.seconds)
        by_time, limit = bool(trainer.options.minutes), trainer.options.max_steps or trainer.steps
        total = round(60 * trainer.options.minutes) if by_time else min(trainer.steps, limit)
        self.bar = ProgressBar(
            total=total,
            initial=min(total, round(trainer.seconds) if by_time else trainer.step),  # tqdm forgets a smaller total
            desc="training",
            unit="s" if by_time else "steps",
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total} {unit}, {remaining} left{postfix}",
            mininterval=0.5 if sys.stderr.isatty() else 30,
        )

    def close(self) -> None:
        """Close the bar."""
        self.bar.close()

    def advance(self) -> None:
        """Move the bar to the current step, or second, of the training."""
        now = self.trainer.seconds if self.trainer.options.minutes else self.trainer.step
        self.bar.update(min(now, self.bar.total) - self.bar.n)

    def row(self, found: dict[str, float]) -> None:
        """Write the values of `found` as a row."""
        trainer = self.trainer
        (step, seconds), self.last = self.last, (trainer.step, trainer.seconds)
        images = (trainer.step - step) * trainer.options.batch
        row = found | {
            "images_per_second": round(images / max(trainer.seconds - seconds, 1e-9), 1),
            "step": trainer.step,
            "epoch": round(trainer.step / trainer.steps_an_epoch, 4),
            "seconds": round(trainer.seconds, 2),
            "lr": trainer.optimizer.param_groups[0]["lr"],
        }
        self.table.add(row)
        self.bar.set_postfix_str(_summary(row), refresh=False)
        self.events.add("train", {name: value for name, value in row.items() if name != "step"}, trainer.step)


def found(trainer: Trainer, result: Step) -> dict[str, float]:
    """Return the means since the last row, and the MI on the last batch; every process must call this."""
    row = trainer.means()
    if result.features is not None:
        with trainer.precision():
            row |= trainer.model.information(result.features)
    return row


def _summary(row: dict[str, float]) -> str:
    shown = [f"loss {row['loss']:.4f}"]
    if "mi" in row:
        shown.append(f"MI {row['mi']:.2f}" + (f"/{row['mi_ceiling']:.2f}" if "mi_ceiling" in row else "") + " nats")
    if "accuracy" in row:
        shown.append(f"accuracy {row['accuracy']:.1%}")
    return ", ".join([*shown, f"{row['images_per_second']:.0f} images/s"])
