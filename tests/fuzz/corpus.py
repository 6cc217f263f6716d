"""The stored inputs of each target, which once ended badly, and the record of a search."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

__all__ = ["FOUND", "Record", "stored"]

_FOLDER = Path(__file__).parent / "found"
_SECONDS = 5.0
FOUND = sorted(path.stem for path in _FOLDER.glob("*.txt"))
"""The targets that have stored inputs."""


def stored(name: str) -> list[bytes]:
    """Return the stored inputs of a target; its file has one per line, in hexadecimal, and a remark after ``#``."""
    if name not in FOUND:
        return []
    lines = [line.split("#")[0].strip() for line in (_FOLDER / f"{name}.txt").read_text().splitlines()]
    return [bytes.fromhex(line) for line in lines if line]


class Record:
    """The record of a search, written during the search because the fuzzer ends the process without notice.

    Args:
        name: name of the target.
        folder: folder for ``record.json``.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.start = name, folder, time.monotonic()
        self.accepted = self.refused = self.bad = 0
        self.findings: dict[str, dict[str, Any]] = {}
        self.written = -_SECONDS

    def ended(self, accepted: bool) -> None:
        """Count an input that ended well, in results or in an error of the library."""
        self.accepted += accepted
        self.refused += not accepted
        if time.monotonic() - self.written > _SECONDS:
            self._write()

    def found(self, place: str, message: str, data: bytes) -> None:
        """Count a finding, and keep the shortest input for each place."""
        self.bad += 1
        known = self.findings.setdefault(place, {"times": 0, "message": message[:400], "input": data.hex()})
        known["times"] += 1
        if 2 * len(data) < len(known["input"]):
            known["input"], known["message"] = data.hex(), message[:400]
        if known["times"] == 1 or time.monotonic() - self.written > _SECONDS:
            self._write()

    def _write(self) -> None:
        self.written = time.monotonic()
        record = {
            "target": self.name,
            "seconds": round(self.written - self.start),
            "inputs": self.accepted + self.refused + self.bad,
            "results": self.accepted,
            "refused": self.refused,
            "findings": self.findings,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / "record.part"
        part.write_text(json.dumps(record, indent=1))
        part.replace(self.folder / "record.json")
