"""Measures of the finished encoder besides the 200-unit probe: those that ``--measures`` names, one function each."""

import importlib.util
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from torch import Tensor, nn

from infomax import evaluation

from .augment import for_measuring
from .data import Images, ImageSet
from .errors import BadInput
from .options import Options, requested
from .probes import LAYERS, few, progress

PACKAGES = {"svm": ("sklearn", "scikit-learn"), "msssim": ("torchmetrics", "torchmetrics")}
NEED_LABELS = ("probes", "linear", "knn", "svm", "semi")
USED_BY = {
    "probes": ("probe_epochs", "probe_tuning", "untrained"),
    "linear": ("untrained",),
    "knn": ("untrained",),
    "svm": ("untrained",),
    "semi": ("semi_labels", "semi_epochs", "untrained"),
    "msssim": ("measure_images", "measure_epochs", "untrained"),
    "mine": ("measure_images", "measure_epochs", "untrained"),
    "ndm": ("measure_images", "untrained"),
    "neighbours": (),
}  # options on which a measure depends and that may change after the training
COLUMNS = ("measure", "encoder", "layer", "value", "unit", "limit", "seconds")
PICTURES = 12  # number of reconstructions that the report shows


class Row(NamedTuple):
    """One number with its measure, layer and unit, and the limit of the measure if it has one."""

    measure: str
    layer: str
    value: float
    unit: str
    encoder: str = ""
    limit: float | None = None


class Taken(NamedTuple):
    """The result of a measure: numbers, a note on how to read them, and pictures (n, C, H, W) in [0, 1] or None."""

    rows: list[Row]
    note: str
    pictures: Tensor | None = None


class Subject:
    """An encoder under measurement, with the images to measure it on; its `y` is computed once.

    Args:
        encoder: the encoder; no measure changes it.
        images: all images of the run.
        options: options of the run.
        title: name of the encoder, ``trained`` or ``untrained``.
    """

    def __init__(self, encoder: nn.Module, images: Images, options: Options, title: str) -> None:
        self.encoder, self.images, self.options, self.title = encoder, images, options, title
        self.transform = for_measuring(options.crop)

    @cached_property
    def train(self) -> ImageSet:
        """The training images that decoder and critics learn from."""
        images = self.images.train
        return few(images, self.options.measure_images or len(images.labels), self.options.seed)

    @cached_property
    def y(self) -> tuple[Tensor, Tensor]:
        """`y` of the training and of the test images."""
        device = next(self.encoder.parameters()).device
        train, test = (
            evaluation.extract_features(self.encoder, images.pixels, ("y",), transform=self.transform).features["y"]
            for images in (self.train, self.images.test)
        )
        return train.to(device), test.to(device)

    def common(self, progress: evaluation.Progress | None) -> dict[str, Any]:
        """Return the keyword arguments that all measures share."""
        return {"random_state": self.options.seed, "progress": progress}


def check(options: Options) -> None:
    """Refuse measures whose package is not installed, so that a run does not fail at its end."""
    for name in requested(options):
        module, package = PACKAGES.get(name, ("", ""))
        if module and importlib.util.find_spec(module) is None:
            raise BadInput(
                f"--measures {name}: expected {package}; it is not installed: pip install 'infomax[evaluation]'"
            )


def possible(options: Options, images: Images) -> list[str]:
    """Return the requested measures, without those that need labels of several classes if there are none."""
    names = requested(options)
    left_out = [name for name in names if name in NEED_LABELS and not images.has_labels]
    if left_out:
        print(f"  (not measured, since {images.lack}: {', '.join(left_out)})")
    return [name for name in names if name not in left_out]


def settings_of(name: str, options: Options) -> dict[str, Any]:
    """Return the options on which a measure depends, besides those of the training."""
    return {option: getattr(options, option) for option in USED_BY[name]}


def is_taken(name: str, options: Options, taken: dict[str, dict[str, Any]]) -> bool:
    """Return whether a measure was taken with these options.

    If the options do not ask for the untrained encoder, a result that includes it counts too.
    """
    if name not in taken:
        return False
    wanted = settings_of(name, options)
    had = settings_of(name, Options()) | taken[name]  # a run of an earlier version lacks newer options
    return had in (wanted, {**wanted, "untrained": True})


def take(name: str, subjects: list[Subject]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Take one measure of all subjects; return rows and a note as plain values, and pictures by subject title."""
    result: dict[str, Any] = {"rows": [], "note": ""}
    pictures = {}
    for subject in subjects if name != "semi" else subjects[:1]:  # `semi` brings its own comparison
        start = time.perf_counter()
        with progress(f"{name} of the {subject.title} encoder") as show:
            taken = MEASURES[name](subject, show)
        seconds = round(time.perf_counter() - start, 1)
        for row in taken.rows:
            result["rows"].append(row._asdict() | {"encoder": row.encoder or subject.title, "seconds": seconds})
        result["note"] = taken.note
        if taken.pictures is not None:
            pictures[subject.title] = taken.pictures
    return result, pictures


def classifier(name: str) -> Callable[[Subject, evaluation.Progress | None], Taken]:
    """Return a measure that runs a probe of `evaluate`, given by its name, at every layer."""

    def measure(subject: Subject, progress: evaluation.Progress | None) -> Taken:
        table = evaluation.evaluate(
            subject.encoder,
            subject.images.labelled,
            subject.images.test,
            layers=LAYERS,
            probes=[name],
            random_state=subject.options.seed,
            transform=subject.transform,
            progress=progress,
        )
        labelled = len(subject.images.labelled.labels)
        rows = [Row(name, row.layer, 100 * row.accuracy, "%") for row in table.rows]
        return Taken(rows, f"Encoder frozen, {labelled:,} labelled images.")

    return measure


def semi(subject: Subject, progress: evaluation.Progress | None) -> Taken:
    """Fine-tune the encoder with a few labels; for comparison, train the same network from random weights."""
    options, images = subject.options, subject.images
    labelled = few(images.labelled, options.semi_labels or len(images.labelled.labels), options.seed)
    tuned = evaluation.fine_tune(
        subject.encoder,
        labelled,
        images.test,
        from_scratch=options.untrained,
        epochs=options.semi_epochs,
        transform=subject.transform,
        **subject.common(progress),
    )
    rows = [Row("semi", "conv", 100 * tuned.accuracy, "%")]
    if tuned.from_scratch is not None:
        rows.append(Row("semi", "conv", 100 * tuned.from_scratch, "%", "from scratch"))
    note = (
        f"Encoder up to `conv` and a 200-unit head trained on {len(labelled.labels):,} labelled images for "
        f"{options.semi_epochs} epochs."
    )
    return Taken(rows, note)


def msssim(subject: Subject, progress: evaluation.Progress | None) -> Taken:
    """Measure how well a decoder reconstructs images from `y`."""
    made = evaluation.reconstruction(
        subject.train.pixels,
        subject.y[0],
        subject.images.test.pixels,
        subject.y[1],
        value_range=(-1.0, 1.0),
        epochs=subject.options.measure_epochs,
        keep=PICTURES,
        transform=subject.transform,
        **subject.common(progress),
    )
    rows = [Row("msssim", "y", made.ms_ssim, "MS-SSIM", limit=1.0), Row("msssim", "y", made.mse, "squared error")]
    note = (
        f"A decoder trained with the squared error on `y` of {len(subject.train.labels):,} images; images in [0, 1], "
        f"MS-SSIM over {made.scales} scales, as many as fit them."
    )
    return Taken(rows, note, made.images)


def mine(subject: Subject, progress: evaluation.Progress | None) -> Taken:
    """Estimate the mutual information between `y` and the image."""
    found = evaluation.image_information(
        subject.train.pixels,
        subject.y[0],
        subject.images.test.pixels,
        subject.y[1],
        transform=subject.transform,
        epochs=subject.options.measure_epochs,
        **subject.common(progress),
    )
    return Taken([Row("mine", "y", found.nats, "nats", limit=found.limit)], _held_out_note(subject))


def ndm(subject: Subject, progress: evaluation.Progress | None) -> Taken:
    """Estimate the dependence between the units of `y`."""
    found = evaluation.neural_dependency(*subject.y, **subject.common(progress))
    return Taken([Row("ndm", "y", found.nats, "nats", limit=found.limit)], _held_out_note(subject))


def _held_out_note(subject: Subject) -> str:
    train, test = len(subject.train.labels), len(subject.images.test.labels)
    return (
        f"Donsker-Varadhan with a critic trained on {train:,} training images, measured on {test:,} test images; "
        f"the limit is log {test:,}: not much more can be shown with so many, whatever the estimate."
    )


MEASURES: dict[str, Callable[[Subject, evaluation.Progress | None], Taken]] = {
    "linear": classifier("linear"),
    "knn": classifier("knn"),
    "svm": classifier("svm"),
    "semi": semi,
    "msssim": msssim,
    "mine": mine,
    "ndm": ndm,
}
