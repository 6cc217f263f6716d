"""The run folder: the paths of its files, and tables that drop the rows after a checkpoint."""

import csv
import io
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import BadInput, unusable
from .files import write_text

WORDS = ("layer",)  # columns that hold no numbers


class RunFolder:
    """The paths of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.csv"
        self.probes = self.path / "probes.csv"
        self.measures = self.path / "measures.csv"
        self.events = self.path / "tensorboard"
        self.checkpoint = self.path / "checkpoint.pt"
        self.new = self.path / "checkpoint.new.pt"  # exists only during `checkpoint.write`
        self.before = self.path / "checkpoint.before.pt"
        self.encoder = self.path / "encoder.pt"
        self.card = self.path / "encoder.json"
        self.results = self.path / "results.json"
        self.figures = self.path / "figures"

    @property
    def trained(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        return bool(self.checkpoints)

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints that exist, the preferred one first."""
        return [path for path in (self.checkpoint, self.new, self.before) if path.exists()]

    def begin(self) -> None:
        """Refuse a folder that already contains a run."""
        if self.trained or self.encoder.exists() or self.results.exists():
            raise BadInput(
                f"--out {self.path}: expected a folder without a run; it holds one: "
                "pass --resume to go on with it, or another --out"
            )


def write_table(path: Path, columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> None:
    """Write finished rows to a CSV file; write no file if there are no rows."""
    rows = list(rows)
    if rows:
        write_text(path, _lines(columns, rows, head=True))


class Table:
    """A CSV file that grows row by row, and is cut back to the step of a checkpoint when a run is resumed."""

    def __init__(self, path: Path, columns: tuple[str, ...], keep_to_step: int) -> None:
        self.path, self.columns = path, columns
        self.rows: list[dict[str, Any]] = [row for row in read_table(path, columns) if int(row["step"]) <= keep_to_step]
        self.rewrite()

    def rewrite(self) -> None:
        """Write all rows again."""
        write_text(self.path, _lines(self.columns, self.rows, head=True))

    def add(self, *rows: dict[str, Any]) -> None:
        """Append rows; floats are written in full, so that they read back bit for bit."""
        self.rows += [{name: str(value) for name, value in row.items()} for row in rows]
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(_lines(self.columns, rows))
        except OSError as error:
            raise unusable(self.path, error) from error


def _lines(columns: tuple[str, ...], rows: Iterable[dict[str, Any]], *, head: bool = False) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore", restval="")
    if head:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_table(path: Path, columns: tuple[str, ...] | None = None) -> list[dict[str, str]]:
    """Return the undamaged rows of a CSV file, or none if the file does not exist.

    Rows that a crash cut off or a disk damaged are left out.

    Args:
        path: the file.
        columns: names to use in place of those in the first line; damaged rows are then reported.
    """
    try:
        text = path.read_bytes().decode(errors="replace").replace("\0", "\ufffd")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unusable(path, error) from error
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):  # a number that was cut off may still be valid
        lines.pop()
    if not lines:
        return []
    head = list(columns or lines[0].strip().split(","))
    parted = [line.rstrip("\n").split(",") for line in lines[1:]]
    rows = [dict(zip(head, cells, strict=True)) for cells in parted if len(cells) == len(head)]
    rows = [row for row in rows if _whole(row)]
    if columns and len(rows) < len(parted):
        print(f"train_dim: {path}: {len(parted) - len(rows)} damaged rows are left out", file=sys.stderr)
    return rows


def _whole(row: dict[str, str]) -> bool:
    try:
        for name, value in row.items():
            if value and name not in WORDS:
                float(value)
        return int(row["step"]) >= 0
    except (KeyError, ValueError):
        return False
