"""The run folder: where each file lies, and tables that forget what came after a checkpoint."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import BadInput


class RunFolder:
    """Paths of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.csv"
        self.probes = self.path / "probes.csv"
        self.measures = self.path / "measures.csv"
        self.events = self.path / "tensorboard"
        self.checkpoint = self.path / "checkpoint.pt"
        self.encoder = self.path / "encoder.pt"
        self.results = self.path / "results.json"
        self.figures = self.path / "figures"

    def begin(self) -> None:
        """Make the folder, unless a run lives there already."""
        if self.checkpoint.exists() or self.config.exists():
            raise BadInput(
                f"--out {self.path}: expected a folder without a run; it holds one: "
                "pass --resume to go on with it, or another --out"
            )
        if self.path.exists() and not self.path.is_dir():
            raise BadInput(f"--out {self.path}: expected a folder; it is a file")
        self.path.mkdir(parents=True, exist_ok=True)


def write_table(path: Path, columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> None:
    """A CSV file of finished rows; none is written where there are no rows."""
    rows = list(rows)
    if rows:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
            writer.writeheader()
            writer.writerows(rows)


class Table:
    """A CSV file that grows by a row at a time and is cut back to a checkpoint's step on resumption."""

    def __init__(self, path: Path, columns: tuple[str, ...], keep_to_step: int) -> None:
        self.path, self.columns = path, columns
        kept = [row for row in read_table(path) if _step(row) <= keep_to_step and None not in row.values()]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(kept)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(text.getvalue())
        partial.replace(path)
        self.rows: list[dict[str, Any]] = list(kept)

    def add(self, **row: Any) -> None:
        """Append one row; floats are written in full, so that they read back bit for bit."""
        self.rows.append({name: str(value) for name, value in row.items()})
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n", restval="").writerow(row)


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none if it is not there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _step(row: dict[str, str]) -> float:
    try:
        return int(row["step"])
    except (KeyError, TypeError, ValueError):
        return float("inf")
