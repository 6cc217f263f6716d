"""A table of accuracies that can be printed, averaged over seeds and saved."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import NamedTuple

__all__ = ["ProbeRow", "ProbeTable"]


class ProbeRow(NamedTuple):
    """The accuracy of one probe on one layer.

    Args:
        encoder: the encoder's name; empty where none was given.
        probe: the probe's name.
        layer: the layer's name.
        width: number D of features of that layer.
        accuracy: share of test examples classified correctly, between 0 and 1.
        seed: the seed of the probe.

    Example:
        >>> from infomax.evaluation import ProbeRow
        >>> ProbeRow("trained", "linear", "y", width=64, accuracy=0.71, seed=0).accuracy
        0.71
    """

    encoder: str
    probe: str
    layer: str
    width: int
    accuracy: float
    seed: int


class ProbeTable:
    """Accuracies by encoder, probe and layer.

    In the printed table, each line is one encoder and probe, each column one layer, and each cell the accuracy in
    percent: the mean over seeds, with the standard deviation where there are several. The sum of two tables,
    ``before + after``, holds the rows of both.

    Args:
        rows: the measurements.

    Attributes:
        rows: the measurements, a tuple of `ProbeRow`.

    Example:
        >>> table = ProbeTable([ProbeRow("dim", "mlp", "fc", 1024, 0.7557, 0),
        ...                     ProbeRow("dim", "mlp", "y", 64, 0.6913, 0)])
        >>> table
        encoder  probe  fc (1024)  y (64)
        dim      mlp         75.6    69.1
        >>> table.mean("mlp", "y")
        0.6913
    """

    def __init__(self, rows: Iterable[ProbeRow]) -> None:
        self.rows: tuple[ProbeRow, ...] = tuple(rows)

    def __add__(self, other: ProbeTable) -> ProbeTable:
        return ProbeTable(self.rows + other.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProbeTable) and self.rows == other.rows

    def __hash__(self) -> int:
        return hash(self.rows)

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        names = self._name_columns()
        lines = (
            "  ".join(
                cell.ljust(width) if column < names else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in cells
        )
        return "\n".join(lines)

    __repr__ = __str__

    def mean(self, probe: str, layer: str, encoder: str | None = None) -> float:
        """Return the mean accuracy over seeds of one probe on one layer, between 0 and 1.

        Args:
            probe: the probe's name.
            layer: the layer's name.
            encoder: the encoder's name; may be left out where the table holds one encoder.

        Raises:
            KeyError: the table holds no such measurement.
            ValueError: the table holds several encoders and none is named, or layers with this name have several
                widths.
        """
        encoders = dict.fromkeys(row.encoder for row in self.rows)
        if encoder is None and len(encoders) > 1:
            raise ValueError(f"encoder must be one of {', '.join(encoders)}, got None")
        found = [
            row for row in self.rows if (row.probe, row.layer) == (probe, layer) and encoder in (None, row.encoder)
        ]
        if not found:
            raise KeyError(f"no probe {probe!r} of layer {layer!r} in this table")
        widths = sorted({row.width for row in found})
        if len(widths) > 1:
            raise ValueError(f"layer {layer!r} must have one width, got {', '.join(map(str, widths))}; read `rows`")
        return math.fsum(row.accuracy for row in found) / len(found)

    def to_markdown(self) -> str:
        """Return the printed table in Markdown.

        Example:
            >>> print(ProbeTable([ProbeRow("", "knn", "y", 64, 0.5, 0)]).to_markdown())
            | probe | y (64) |
            |:--|--:|
            | knn | 50.0 |
        """
        header, *lines = self._cells()
        names = self._name_columns()
        rule = "|" + "|".join(":--" if column < names else "--:" for column in range(len(header))) + "|"
        body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in [header, *lines]]
        return "\n".join([body[0], rule, *body[1:]])

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write the measurements to a file, one per line after a header, with accuracies between 0 and 1.

        Args:
            path: the file; it is replaced if it exists.
        """
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(ProbeRow._fields)
            writer.writerows(self.rows)

    def _name_columns(self) -> int:
        return 2 if any(row.encoder for row in self.rows) else 1

    def _cells(self) -> list[list[str]]:
        layers = list(dict.fromkeys((row.layer, row.width) for row in self.rows))
        found: dict[tuple[str, str], dict[tuple[str, int], list[float]]] = {}
        for row in self.rows:
            line = found.setdefault((row.encoder, row.probe), {})
            line.setdefault((row.layer, row.width), []).append(row.accuracy)
        first = 2 - self._name_columns()
        cells = [["encoder", "probe"][first:] + [f"{layer} ({width})" for layer, width in layers]]
        cells += [
            [*names[first:], *(_percent(line.get(layer, [])) for layer in layers)] for names, line in found.items()
        ]
        return cells


def _percent(accuracies: list[float]) -> str:
    if not accuracies:
        return "-"
    mean = math.fsum(accuracies) / len(accuracies)
    if len(accuracies) == 1:
        return f"{100 * mean:.1f}"
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in accuracies) / (len(accuracies) - 1))
    return f"{100 * mean:.1f} ± {100 * spread:.1f}"
