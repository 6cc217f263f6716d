"""Negatives of other processes, compared with one process on the whole batch: error, memory, bytes, collectives."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks import processes_rank
from benchmarks.harness import write

__all__ = ["add_options", "run"]

_TITLE = (
    "InfoNCE with the default critic, {n} examples of {p} locations a process, {units} units, float32, gloo.\n"
    "Errors are relative to one process with the whole batch; gradients averaged over processes. Peak is what a step\n"
    "allocates beyond its features and the weights. Sent is per process and step: of what `torch.distributed` is\n"
    "called with, by the ring algorithms (an all-gather sends one's rows world - 1 times); 'on the wire' is what the\n"
    "network interface counted. Exchanges: collectives, each sending to a neighbour counted as one."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options besides ``--smoke``."""
    parser.add_argument("--worlds", type=int, nargs="+", default=[1, 2, 4], help="numbers of processes")
    parser.add_argument(
        "--namespaces",
        action="store_true",
        help="two processes in two network namespaces as well, joined by a virtual cable (Linux, root, ip)",
    )


def run(options: argparse.Namespace) -> None:
    """Measure, and write the table."""
    size = processes_rank.SMALL if options.smoke else processes_rank.LARGE
    rows = []
    for world in options.worlds[:2] if options.smoke else options.worlds:
        rows += _rows(world, size, "one machine", _together(world, size))
    if options.namespaces:
        with _two_namespaces() as spaces:
            rows += _rows(2, size, "two namespaces", _together(2, size, spaces))
    title = _TITLE.format(n=size["examples"], p=size["locations"], units=size["units"])
    write("processes", title, rows, keep=not options.smoke)


def _rows(world: int, size: dict[str, int], place: str, found: list[dict[str, Any]]) -> Iterator[dict[str, object]]:
    expected = processes_rank.one_process(world, size)
    for gather in found[0]:
        ranks = [results[gather] for results in found]
        grads = [
            torch.cat([result["local"] for result in ranks]) / world,
            *(sum(parts) / world for parts in zip(*(result["gradients"] for result in ranks), strict=True)),
        ]
        yield {
            "processes": world,
            "where": place,
            "gather": gather,
            "loss error": max(abs(result["loss"] / expected["loss"] - 1) for result in ranks),
            "gradient error": max(
                float((one - other).norm() / other.norm())
                for one, other in zip(grads, [expected["local"], *expected["gradients"]], strict=True)
                if other.norm() > 1e-6  # not for gradients of 0, such as that of a layer norm's bias
            ),
            "peak MiB": max(result["peak"] for result in ranks) / 2**20,
            "peak MiB, one process": expected["peak"] / 2**20,
            "sent MiB": ranks[0]["sent"] / 2**20,
            "on the wire MiB": None if ranks[0]["wire"] is None else ranks[0]["wire"] / 2**20,
            "exchanges forward": ranks[0]["forward"],
            "backward": ranks[0]["backward"],
            "time over gather": ranks[0]["seconds"] / found[0][True]["seconds"],
        }


def _together(world: int, size: dict[str, int], spaces: list[tuple[str, str]] | None = None) -> list[dict[str, Any]]:
    """Start the processes, and return their results by rank."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        started = []
        for rank in range(world):
            init, prefix, interface = (path / "init").as_uri(), [], "lo"
            if spaces is not None:
                name, interface = spaces[rank]
                init, prefix = "tcp://10.77.0.1:29511", ["ip", "netns", "exec", name]
                environment |= {"GLOO_SOCKET_IFNAME": interface}
            given = [init, rank, world, interface if spaces else "-", path / f"{rank}.pt", *size.values()]
            command = [*prefix, sys.executable, processes_rank.__file__, *map(str, given)]
            started.append(subprocess.Popen(command, env=dict(environment)))
        try:
            codes = [process.wait(timeout=900) for process in started]
        finally:
            for process in started:
                process.kill()
        if any(codes):
            raise RuntimeError(f"a process ended with an error: {codes}")
        return [torch.load(path / f"{rank}.pt", weights_only=True) for rank in range(world)]


@contextmanager
def _two_namespaces() -> Iterator[list[tuple[str, str]]]:
    """Create two network namespaces joined by a virtual cable, and delete them on exit.

    The value is the name and the network interface of each.
    """
    spaces = [(f"infomax{number}", f"imx{number}") for number in range(2)]

    def ip(*given: str) -> None:
        subprocess.run(["ip", *given], check=True)

    try:
        for name, _ in spaces:
            ip("netns", "add", name)
        ip("link", "add", "imx0", "netns", "infomax0", "type", "veth", "peer", "name", "imx1", "netns", "infomax1")
        for number, (name, interface) in enumerate(spaces):
            ip("-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", interface)
            ip("-n", name, "link", "set", interface, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield spaces
    finally:
        for name, _ in spaces:
            subprocess.run(["ip", "netns", "del", name], check=False)
