"""``python -m tests.fuzz NAME --minutes 10``: a coverage-guided search, by atheris, for calls that end badly."""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import re
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def main() -> None:
    from .targets import NAMES

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--minutes", type=float, default=10.0, help="of search (default: 10)")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer (default: 1)")
    parser.add_argument(
        "--out", type=Path, default=Path("fuzz-out"), help="folder for inputs found (default: fuzz-out)"
    )
    parser.add_argument("--memory", type=int, metavar="CALLS", help="instead: random inputs, and the growth of memory")
    options = parser.parse_args()
    _threads()
    if options.memory is not None:
        _watch_memory(options.name, options.memory, options.seed)
    else:
        _search(options.name, options.minutes, options.seed, options.out)


def _threads() -> None:
    import torch

    torch.set_num_threads(1)


def _search(name: str, minutes: float, seed: int, out: Path) -> None:
    atheris = _atheris()
    with atheris.instrument_imports(include=["infomax"]):
        from .oracle import Finding, place_of
        from .targets import run

        __import__("infomax.evaluation"), __import__("infomax.training"), __import__("infomax.encoders")
    record = Record(name, minutes, out / name)

    def one(data: bytes) -> None:
        try:
            accepted = run(name, data)
        except Finding as finding:
            record.found(place_of(finding), str(finding), data)
        else:
            record.ended(accepted)

    seen = out / name / "inputs"
    seen.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(stored(name)):
        (seen / f"corpus-{number}").write_bytes(data)
    flags = [
        f"-max_total_time={minutes * 60:.0f}",
        "-max_len=160",
        f"-seed={seed}",
        "-rss_limit_mb=6000",
        "-timeout=300",
    ]
    atheris.Setup([sys.argv[0], *flags, "-verbosity=0", "-close_fd_mask=0", str(seen)], one)
    atheris.Fuzz()


def stored(name: str) -> list[bytes]:
    """The inputs in the corpus of a target: a line of hexadecimal digits each, and what it found."""
    lines = (FOLDER / "corpus" / f"{name}.txt").read_text().splitlines()
    return [
        bytes.fromhex(line.split("#")[0].strip()) for line in lines if line.split("#")[0].strip() or "(empty)" in line
    ]


class Record:
    """What a search did, written as it goes: the fuzzer ends the process without a word."""

    def __init__(self, name: str, minutes: float, folder: Path) -> None:
        self.name, self.minutes, self.folder, self.start = name, minutes, folder, time.monotonic()
        self.accepted = self.refused = 0
        self.findings: dict[str, dict[str, Any]] = {}
        self.written = 0.0

    def ended(self, accepted: bool) -> None:
        self.accepted += accepted
        self.refused += not accepted
        now = time.monotonic()
        if now - self.written > 5:
            self.written = now
            self._write()

    def found(self, place: str, message: str, data: bytes) -> None:
        known = self.findings.setdefault(place, {"times": 0, "message": message[:400], "input": data.hex()})
        known["times"] += 1
        if len(data) < len(known["input"]) // 2:  # the shortest input is the one to look at
            known["input"], known["message"] = data.hex(), message[:400]
        self._write() if known["times"] == 1 else None

    def _write(self) -> None:
        resident = int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024  # type: ignore[index]
        record = {
            "target": self.name,
            "seconds": round(time.monotonic() - self.start),
            "inputs": self.accepted + self.refused + sum(known["times"] for known in self.findings.values()),
            "results": self.accepted,
            "refused": self.refused,
            "findings": self.findings,
            "resident_mib": resident,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "record.json"
        path.with_suffix(".part").write_text(json.dumps(record, indent=1))
        os.replace(path.with_suffix(".part"), path)


def _watch_memory(name: str, calls: int, seed: int) -> None:
    from .oracle import Finding
    from .targets import run

    draws = random.Random(seed)
    for number in range(calls + 1):
        if number % max(1, calls // 4) == 0:
            gc.collect()
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            print(f"{name}: after {number} calls {resident / 2**20:.0f} MiB resident", flush=True)
        try:
            run(name, draws.randbytes(draws.randint(0, 96)))
        except Finding:
            pass


def _atheris() -> Any:
    try:
        import atheris
    except ImportError:
        raise SystemExit(
            "atheris, the coverage-guided fuzzer, is not installed (pip install atheris). Without it: "
            "python -m pytest tests/fuzz -m slow, where hypothesis makes the inputs"
        ) from None
    return atheris


if __name__ == "__main__":
    main()
