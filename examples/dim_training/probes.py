"""Probes of a frozen encoder: quick ones on the way, a full one at the end, and nearest neighbours."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from .augment import centre, to_float
from .data import Images, ImageSet
from .options import Options
from .run_folder import RunFolder, Table

LAYERS = ("conv", "fc", "y")


@torch.no_grad()
def features(encoder, pixels, options, device, layers=LAYERS):
    encoder.eval()
    out = {k: [] for k in layers}
    for part in pixels.split(500):
        x = to_float(centre(part, options.crop).to(device))
        x = encoder.local(x)
        for k in LAYERS:
            x = getattr(encoder, k)(x)
            if k in out:
                out[k].append(x.flatten(1).cpu())
    return {k: torch.cat(v) for k, v in out.items()}


def one(ftr, ytr, fte, yte, epochs, classes):
    torch.manual_seed(0)
    mu, sd = ftr.mean(0), ftr.std(0) + 1e-3
    net = nn.Sequential(nn.Linear(ftr.shape[1], 200), nn.Dropout(0.1), nn.BatchNorm1d(200), nn.ReLU(), nn.Linear(200, classes))
    opt = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
    for _ in range(epochs):
        for idx in torch.randperm(len(ftr)).split(256):
            if len(idx) < 2: continue
            loss = cross_entropy(net((ftr[idx] - mu) / sd), ytr[idx])
            opt.zero_grad(); loss.backward(); opt.step()
    net.eval()
    with torch.no_grad():
        return 100 * (net((fte - mu) / sd).argmax(1) == yte).float().mean().item()


def probe(encoder: nn.Module, images: Images, options: Options, device: torch.device, title: str, epochs: int = 0) -> dict[str, float]:
    with torch.random.fork_rng():
        a = features(encoder, images.labelled.pixels, options, device)
        b = features(encoder, images.test.pixels, options, device)
        return {k: one(a[k], images.labelled.labels, b[k], images.test.labels, epochs or options.probe_epochs, len(images.classes)) for k in LAYERS}


class QuickProbes:
    """Probes on a few images every ``--probe-every`` epochs, written to probes.csv."""

    def __init__(self, options: Options, images: Images, folder: RunFolder, device: torch.device, writer: Any) -> None:
        self.options, self.folder, self.device, self.writer = options, folder, device, writer
        few = images.labelled, images.test
        n, m = options.probe_images, max(1, options.probe_images // 2)
        self.images = images._replace(
            labelled=ImageSet(few[0].pixels[:n], few[0].labels[:n]), test=ImageSet(few[1].pixels[:m], few[1].labels[:m])
        )

    def begin(self, step: int) -> None:
        """Forget probes after ``step``: training goes on from there."""
        self.table = Table(self.folder.probes, ("step", "epoch", "layer", "accuracy"), step)
        self.taken = {int(row["step"]) for row in self.table.rows}

    def due(self, epoch: int, step: int) -> bool:
        every = self.options.probe_every
        return bool(every) and self.images.has_labels and epoch % every == 0 and step not in self.taken

    def take(self, encoder: nn.Module, epoch: int, step: int) -> None:
        for layer, accuracy in probe(encoder, self.images, self.options, self.device, "q", 5).items():
            self.table.add(step=step, epoch=epoch, layer=layer, accuracy=accuracy)
            if self.writer:
                self.writer.add_scalar(f"probe/{layer}", accuracy, step)
        self.taken.add(step)


def nearest(encoder: nn.Module, pixels: Tensor, queries: Tensor, k: int, options: Options, device: torch.device) -> dict[str, Tensor]:
    """The ``k`` nearest images to each query by L1 distance, in `y` and in pixels, the query itself left out."""
    y = features(encoder, pixels, options, device, ("y",))["y"]
    spaces = {"y": y, "pixels": pixels.flatten(1).float()}
    found = {}
    for name, points in spaces.items():
        distance = torch.cdist(points[queries], points, p=1)
        distance[torch.arange(len(queries)), queries] = float("inf")
        found[name] = distance.topk(k, largest=False).indices
    return found
