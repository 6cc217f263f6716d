"""``python -m tests.fuzz NAME --minutes 10``: a coverage-guided search with atheris for calls that end badly."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `fuzz` is a top-level package, as in the tests

from fuzz import NAMES
from fuzz.corpus import Record, stored


def main() -> None:
    """Read the options, then search for findings or watch the memory."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--minutes", type=float, default=10.0, help="of search (default: 10)")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("fuzz-out"), help="folder for findings (default: fuzz-out)")
    parser.add_argument("--memory", type=int, metavar="CALLS", help="instead: random inputs, and the growth of memory")
    options = parser.parse_args()
    if options.memory is not None:
        watch_memory(options.name, options.memory, options.seed)
    else:
        search(options.name, options.minutes, options.seed, options.out / options.name)


def search(name: str, minutes: float, seed: int, folder: Path) -> None:
    """Search for findings, guided by coverage, and continue after each; the fuzzer itself ends the process."""
    atheris = _atheris()
    with atheris.instrument_imports(include=["infomax"]):
        for room in ("infomax", "infomax.evaluation", "infomax.training", "infomax.encoders"):
            __import__(room)
    from fuzz.oracle import Finding, place_of
    from fuzz.targets import run

    _one_thread()
    record = Record(name, folder)

    def one(data: bytes) -> None:
        try:
            accepted = run(name, data)
        except Finding as finding:
            record.found(place_of(finding), str(finding), data)
        else:
            record.ended(accepted)

    seen = folder / "inputs"
    seen.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(stored(name)):
        (seen / f"corpus-{number}").write_bytes(data)
    limits = [
        f"-max_total_time={minutes * 60:.0f}",
        "-max_len=160",
        "-rss_limit_mb=6000",
        "-report_slow_units=100",
        f"-artifact_prefix={folder}/",
        "-timeout=300",
    ]
    atheris.Setup([sys.argv[0], *limits, f"-seed={seed}", "-verbosity=0", str(seen)], one)
    atheris.Fuzz()


def watch_memory(name: str, calls: int, seed: int) -> None:
    """Make random calls, and print the resident memory at the start and after each quarter of the calls."""
    from fuzz.oracle import Finding
    from fuzz.targets import run

    _one_thread()
    draws = random.Random(seed)
    for number in range(calls + 1):
        if number % max(1, calls // 4) == 0:
            gc.collect()
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            print(f"{name}: after {number} calls {resident / 2**20:.0f} MiB resident", flush=True)
        with contextlib.suppress(Finding):
            run(name, draws.randbytes(draws.randint(0, 96)))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


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
