"""A batch larger than memory: the same training at once and in chunks, each in its own process; with a plot."""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.harness import DEVICE, RESULTS, pyplot, write
from infomax import LocalDIMLoss
from infomax.training import cached_backward

__all__ = ["add_options", "run"]

_TITLE = (
    "LocalDIMLoss, {locations} of 64 locations per image drawn within the encoder, a small vision transformer;\n"
    "{images} of CIFAR-10 (JPEG copy), batches drawn anew, Adam. Peak: resident memory of a process over its\n"
    "steps, beyond what it held before the first one. 'largest gap' is between losses at the same step, in nats."
)
_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cifar10-train.zip"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options besides ``--smoke``."""
    parser.add_argument("--steps", type=int, default=5, help="of each training (default: 5)")
    parser.add_argument("--batch", type=int, default=4096, help="examples of a step (default: 4096)")
    parser.add_argument("--chunk", type=int, default=256, help="examples of a chunk (default: 256)")
    parser.add_argument("--data", type=Path, default=_DATA, help="zip file of images of 32 x 32 pixels")


def run(options: argparse.Namespace) -> None:
    """Train, write the table and draw the plot."""
    batch, chunk, steps, images = (
        (64, 16, 2, 200) if options.smoke else (options.batch, options.chunk, options.steps, 20000)
    )
    at_once, by_chunks, small = f"{batch} at once", f"{batch} in chunks of {chunk}", f"{chunk} at once"
    every = f"{by_chunks}, every location"
    trainings = {
        at_once: {"batch": batch, "chunk": 0, "locations": 8, "steps": steps},
        by_chunks: {"batch": batch, "chunk": chunk, "locations": 8, "steps": steps},
        small: {"batch": chunk, "chunk": 0, "locations": 8, "steps": steps},
        every: {"batch": batch, "chunk": chunk, "locations": 64, "steps": 1},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        read = _read(options.data, images)
        images = len(read)
        np.save(path, read)
        found = {name: _in_a_process(path, options) for name, options in trainings.items()}
    reference = found[small]["peak"]
    rows = []
    for name, result in found.items():
        losses, gap = result["losses"], None
        if name == by_chunks:
            gap = max(abs(one - other) for one, other in zip(losses, found[at_once]["losses"], strict=True))
        rows.append({
            "batch": name,
            "steps": len(losses),
            "first loss, nats": losses[0],
            "last loss, nats": losses[-1],
            "peak MiB": result["peak"] / 2**20,
            f"over {small}": result["peak"] / reference,
            "largest gap": gap,
        })  # fmt: skip
    write("large-batch", _TITLE.format(locations=8, images=f"{images} images"), rows, keep=not options.smoke)
    if not options.smoke:
        _draw(found, (at_once, by_chunks, small))


def _read(data: Path, count: int) -> np.ndarray:
    """Return ``count`` images, evenly spaced in the archive, (count, 3, 32, 32) in uint8."""
    from PIL import Image

    with zipfile.ZipFile(data) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        chosen = names[:: max(len(names) // count, 1)][:count]
        return np.stack([np.asarray(Image.open(io.BytesIO(archive.read(name)))).transpose(2, 0, 1) for name in chosen])


def _in_a_process(images: Path, options: dict[str, int]) -> dict[str, Any]:
    # With this setting, freed blocks of 1 MiB or more go back to the system, so that resident memory is memory in use.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
    command = [sys.executable, "-m", "benchmarks.large_batch", str(images), json.dumps(options)]
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(options, result, flush=True)
    return result


class Encoder(nn.Module):
    """A small vision transformer on 8 x 8 patches; it returns some tokens, drawn at random, and a vector.

    The vector is a linear map of the mean of all tokens.
    """

    def __init__(self, locations: int, width: int = 64, depth: int = 3) -> None:
        super().__init__()
        self.locations = locations
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.places = nn.Parameter(0.02 * torch.randn(64, width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.vector = nn.Linear(width, 64)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.layers(self.patches(images.float() / 127.5 - 1).flatten(2).mT + self.places)
        local = tokens
        if self.locations < local.shape[1]:  # drawn here, so that the other locations are not kept for the whole batch
            drawn = torch.rand(local.shape[:2], device=local.device).topk(self.locations).indices
            local = local.gather(1, drawn[:, :, None].expand(-1, -1, local.shape[2]))
        return local.mT, self.vector(tokens.mean(1))


def _train(images: Tensor, batch: int, chunk: int, locations: int, steps: int) -> dict[str, Any]:
    torch.manual_seed(0)
    encoder, loss_fn = Encoder(locations), LocalDIMLoss(64, 64, units=64)
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss_fn.parameters()], lr=1e-3)
    losses = []
    before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    for number in range(steps):
        generator = torch.Generator().manual_seed(number)
        given = images[torch.randint(len(images), (batch,), generator=generator)]
        torch.manual_seed(number)  # for the drawn locations
        optimizer.zero_grad()
        if chunk:
            loss = cached_backward(encoder, loss_fn, given, chunk_size=chunk)
        else:
            loss = loss_fn(*encoder(given))
            loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        del loss
    return {"losses": losses, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before}


def _draw(found: dict[str, dict[str, Any]], names: tuple[str, ...]) -> None:
    plt = pyplot()
    if plt is None:
        return
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name, style in zip(names, ("-", "--", ":"), strict=True):
        left.plot(range(1, 1 + len(found[name]["losses"])), found[name]["losses"], style, label=name)
    left.set(xlabel="step", ylabel="loss, nats", title="the same training")
    left.legend(title="batch")
    bars = right.barh(list(found), [result["peak"] / 2**20 for result in found.values()], color="C0")
    right.bar_label(bars, fmt="%.0f", padding=3)
    right.set(xlabel="peak memory, MiB", title="its memory")
    right.margins(x=0.2)
    right.invert_yaxis()
    figure.savefig(RESULTS / f"large-batch-{DEVICE}.png", dpi=120)


if __name__ == "__main__":
    print(json.dumps(_train(torch.from_numpy(np.load(sys.argv[1])), **json.loads(sys.argv[2]))))
