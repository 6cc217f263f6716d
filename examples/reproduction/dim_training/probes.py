"""Probes of a frozen encoder: quick ones during training, a full one at the end, and nearest neighbours."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from infomax import evaluation

from .augment import centre, for_measuring, to_float
from .data import Images, ImageSet
from .objective import Supervised
from .options import Options
from .progress_bar import ProgressBar
from .run_folder import RunFolder, Table

if TYPE_CHECKING:
    from .log import Events
    from .trainer import Trainer

LAYERS = ("conv", "fc", "y")
QUICK = partial(evaluation.mlp_probe, epochs=8)
SETTINGS = [{"lr": lr, "weight_decay": decay} for lr in (3e-3, 1e-2, 3e-2) for decay in (0.0, 1e-4)]
"""Settings of the final probe that ``--probe-tuning`` chooses from."""


@contextmanager
def progress(title: str) -> Iterator[evaluation.Progress | None]:
    """Show the progress of a measure in a bar, and remove the bar at the end; the value is None without a terminal."""
    with closing(ProgressBar(desc=title, leave=False, disable=None)) as bar:

        def show(what: str, done: int, total: int | None) -> None:
            bar.total, bar.n = total, done
            bar.set_postfix_str(what, refresh=False)
            bar.refresh()

        yield None if bar.disable else show


def final_probe(options: Options) -> evaluation.Probe:
    """Return the paper's 200-unit probe, as it is trained at the end of a run."""
    mlp = partial(evaluation.mlp_probe, epochs=options.probe_epochs)
    return evaluation.TunedProbe(mlp, SETTINGS, validation=options.probe_tuning) if options.probe_tuning else mlp


def probe(encoder: nn.Module, images: Images, options: Options, title: str, mlp: evaluation.Probe) -> dict[str, float]:
    """Return the test accuracy, in %, of a probe on each of the encoder's layers."""
    with progress(f"probing the {title}") as show:
        table = evaluation.evaluate(
            encoder,
            images.labelled,
            images.test,
            layers=LAYERS,
            probes={"mlp": mlp},
            random_state=options.seed,
            transform=for_measuring(options.crop),
            progress=show,
        )
    return {row.layer: 100 * row.accuracy for row in table.rows}


def own_accuracy(model: Supervised, encoder: nn.Module, images: Images, options: Options) -> float:
    """Return the test accuracy, in %, of the classifier that the encoder was trained with."""
    test = images.test.pixels, images.test.labels
    y, labels = evaluation.extract_features(encoder, test, ("y",), transform=for_measuring(options.crop))
    with torch.no_grad():  # (n, d, globals)
        y = y["y"].to(model.head.weight.device).view(len(labels), model.head.in_features, -1)
        logits = model.logits(y).cpu()
    return 100 * (logits.argmax(1) == labels).float().mean().item()


class QuickProbes:
    """Probes on a few images, at the start and ``--quick-probes`` times during the run, written to probes.csv."""

    def __init__(self, options: Options, images: Images, folder: RunFolder, events: "Events", step: int) -> None:
        self.options, self.events = options, events
        count = options.probe_images
        self.images = images._replace(
            labelled=few(images.labelled, count, options.seed), test=few(images.test, count // 2, options.seed)
        )
        self.wanted = bool(options.quick_probes) and self.images.has_labels
        if options.quick_probes and not self.wanted:
            print(f"  (no quick probes, since {self.images.lack})")

        # Training continues from ``step``: drop later probes, and a probe that was interrupted before its last layer.
        self.table = Table(folder.probes, ("step", "epoch", "seconds", "layer", "accuracy"), step)
        rows = self.table.rows
        last = [row for row in rows if row["step"] == rows[-1]["step"]]
        if len(last) % len(LAYERS):
            del rows[-len(last) :]
            self.table.rewrite()

    def due(self, trainer: "Trainer") -> bool:
        """Return whether a probe is due: the run has entered another of its ``--quick-probes`` parts."""
        if not self.wanted:
            return False
        if not self.table.rows:
            return True
        last = self.table.rows[-1]
        return self._part(trainer.share) > self._part(trainer.share_at(int(last["step"]), float(last["seconds"])))

    def _part(self, share: float) -> int:
        return int(self.options.quick_probes * share + 1e-9)

    def take(self, trainer: "Trainer") -> None:
        """Probe, and write a row per layer; if the library refuses to probe, the training goes on without."""
        at = {"step": trainer.step, "epoch": trainer.step / trainer.steps_an_epoch, "seconds": trainer.seconds}
        try:
            found = probe(trainer.encoder, self.images, self.options, "encoder", QUICK)
        except ValueError as error:
            self.wanted = False
            print(f"  (no more quick probes: {error})")
            return
        self.table.add(*(at | {"layer": layer, "accuracy": accuracy} for layer, accuracy in found.items()))
        self.events.add("probe", found, trainer.step)


def nearest(encoder: nn.Module, pixels: Tensor, queries: int, k: int, options: Options) -> dict[str, Tensor]:
    """Return the ``k`` nearest images to each of the first ``queries`` by L1 distance, in `y` and in pixels."""
    pixels = centre(pixels, options.crop)
    y = evaluation.extract_features(encoder, pixels, ("y",), transform=to_float).features["y"]
    return {
        name: evaluation.nearest_neighbours(points[:queries], points, k=k, metric="l1", exclude_self=True).indices
        for name, points in (("y", y), ("pixels", pixels.flatten(1).float()))
    }


def few(images: ImageSet, count: int, seed: int) -> ImageSet:
    """Return ``count`` of the images, at least two, drawn by ``seed``."""
    chosen = torch.randperm(len(images.labels), generator=torch.Generator().manual_seed(seed))[: max(2, count)]
    return ImageSet(images.pixels[chosen], images.labels[chosen])
