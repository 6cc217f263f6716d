"""Run a script as several processes, one per rank, and collect their results."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

SECONDS = 540


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which a process can import the same modules as this one, and computes on one thread."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1", **more}


def run_ranks(script: Path, world: int, folder: Path, *more: str, python: Sequence[str] = ()) -> list[Any]:
    """Run ``script RANK WORLD FOLDER MORE...`` on every rank at once.

    Args:
        script: path of the script, which saves its results as ``FOLDER/RANK.pt``.
        world: the number of processes.
        folder: a folder for the processes to meet in. Their output is written to the file ``said`` in it.
        more: arguments after the folder.
        python: options of the Python interpreter.

    Returns:
        The results of each rank.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, *python, str(script), str(rank), str(world), str(folder), *more],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        said = [process.communicate(timeout=SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    (folder / "said").write_text("\n".join(said))
    assert all(process.returncode == 0 for process in processes), "\n".join(said)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


@contextmanager
def as_rank(seconds: int) -> Iterator[tuple[int, dict[Any, Any]]]:
    """Join the processes of :func:`run_ranks` on gloo and one thread; yield the rank, and the results to fill and save.

    Args:
        seconds: the timeout of the process group.
    """
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    address = (folder / "init").as_uri()
    dist.init_process_group(
        "gloo", init_method=address, rank=rank, world_size=world, timeout=timedelta(seconds=seconds)
    )
    results: dict[Any, Any] = {}
    yield rank, results
    torch.save(results, folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
