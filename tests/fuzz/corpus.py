"""What was found: the stored inputs of each target, and the record of a search."""

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
    """Return the inputs of a target: one per line, in hexadecimal digits, then ``#`` and what it found."""
    if name not in FOUND:
        return []
    lines = [line.split("#")[0].strip() for line in (_FOLDER / f"{name}.txt").read_text().splitlines()]
    return [bytes.fromhex(line) for line in lines if line]


class Record:
    """What a search did, written as it goes: the fuzzer ends the process without a word.

    Args:
        name: of the target.
        folder: where ``record.json`` goes.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.start = name, folder, time.monotonic()
        self.accepted = self.refused = self.bad = 0
        self.findings: dict[str, dict[str, Any]] = {}
        self.written = -_SECONDS

    def ended(self, accepted: bool) -> None:
        """Count a call that ended well: in a result, or in an error of ours."""
        self.accepted += accepted
        self.refused += not accepted
        if time.monotonic() - self.written > _SECONDS:
            self._write()

    def found(self, place: str, message: str, data: bytes) -> None:
        """Keep the shortest input of each place."""
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
