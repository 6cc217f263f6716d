"""The results of a run as plain values: facts about the training, and every measure of the encoder."""

import sys
from pathlib import Path
from typing import Any

import torch

from infomax.evaluation import TunedProbe

from . import figures
from .augment import centre
from .data import Images
from .environment import environment
from .errors import BadInput
from .files import read_json, write_checked_json
from .measures import COLUMNS, PICTURES, Subject, is_taken, possible, settings_of, take
from .objective import Supervised, build_encoder
from .options import Options
from .probes import LAYERS, few, final_probe, nearest, own_accuracy, probe
from .run_folder import RunFolder, read_table, write_table
from .trainer import Trainer

ALWAYS = {"environment", "training", "probes", "measures", "taken", "options"}  # parts of results.json
SOMETIMES = {"probe", "neighbours"}


def measure(trainer: Trainer, folder: RunFolder) -> None:
    """Take every requested measure that results.json does not have for these options, and write it there.

    A measure that the library refuses, such as one of too few images, is left out: the report has the others.
    """
    options, images = trainer.options, trainer.images
    results = read_results(folder)
    if not results or results["training"]["steps"] != trainer.step:
        results = {**_about(trainer, folder), "probes": {}, "measures": {}, "taken": {}}
    results["options"] = vars(options)
    taken = results["taken"]
    subjects = [Subject(trainer.encoder, images, options, "trained")]
    if options.untrained:
        subjects.append(Subject(untrained(trainer), images, options, "untrained"))
    for name in possible(options, images):
        if is_taken(name, options, taken):
            continue
        for earlier in (taken, results["measures"]):
            earlier.pop(name, None)
        try:
            _take(name, subjects, folder, results)
        except BadInput:  # of a file that cannot be written
            raise
        except ValueError as error:
            print(f"  (not measured: {name}: {error})")
            continue
        taken[name] = settings_of(name, options)
        _write(folder, results)  # after each, so that an interrupted call can continue: some take minutes
    _write(folder, results)


def _take(name: str, subjects: list[Subject], folder: RunFolder, results: dict[str, Any]) -> None:
    """Take one measure, and put its values into ``results``."""
    images, options = subjects[0].images, subjects[0].options
    if name == "probes":
        _probe(subjects, results)
    elif name == "neighbours":
        path = folder.figures / "neighbours.png"
        results["neighbours"] = neighbours(subjects[0].encoder, images, options, path)
    else:
        results["measures"][name], made = take(name, subjects)
        if made:
            first = centre(images.test.pixels[:PICTURES], options.crop)
            figures.reconstructions(first, made, folder.figures / "reconstructions.png")


def _probe(subjects: list[Subject], results: dict[str, Any]) -> None:
    """Train the final probes of all subjects."""
    images, options = subjects[0].images, subjects[0].options
    labelled = len(images.labelled.labels)
    about = {"train_images": labelled, "test_images": len(images.test.labels), "epochs": options.probe_epochs}
    results["probe"], results["probes"] = about, {}
    for subject in subjects:
        title, mlp = subject.title, final_probe(options)
        results["probes"][title] = probe(subject.encoder, images, options, f"{title} encoder", mlp)
        if isinstance(mlp, TunedProbe):
            about.setdefault("tuning", {})[title] = _trials(mlp)
            about["tuned_on"] = min(options.probe_tuning, labelled // 2)


def _trials(tuned: TunedProbe) -> dict[str, list[dict[str, float]]]:
    """Return the settings of the probe that were tried on each layer, with their accuracies in %."""
    return {
        layer: [{**trial.settings, "accuracy": 100 * trial.accuracy} for trial in trials]
        for layer, trials in zip(LAYERS, tuned.trials, strict=True)
    }


def read_results(folder: RunFolder) -> dict[str, Any] | None:
    """Return the results of an earlier call, or None; if they are damaged, print a message and return None."""
    if not folder.results.exists():
        return None
    try:
        results = read_json(folder.results)
        named = ALWAYS <= results.keys() <= ALWAYS | SOMETIMES  # if not, the name of the checksum may be damaged
        if not named or not isinstance(results["taken"], dict):
            raise BadInput("its parts have other names")  # noqa: TRY301
    except BadInput as error:
        print(f"train_dim: {folder.results} is damaged ({error}): its measures are taken again", file=sys.stderr)
        return None
    return results


def _write(folder: RunFolder, results: dict[str, Any]) -> None:
    write_checked_json(folder.results, results)
    write_table(folder.measures, COLUMNS, [row for taken in results["measures"].values() for row in taken["rows"]])


def untrained(trainer: Trainer) -> torch.nn.Module:
    """Return an encoder with the initial weights of the run, which the seed reproduces under the same versions."""
    torch.manual_seed(trainer.options.seed)
    channels, side = trainer.images.train.pixels.shape[3], trainer.model.encoder.input_size[0]
    encoder = build_encoder(trainer.options, channels, side)
    return encoder.to(trainer.device, memory_format=torch.channels_last)


def _about(trainer: Trainer, folder: RunFolder) -> dict[str, Any]:
    """Return the environment and facts about the training: data, length, speed and last values."""
    options, images, rows = trainer.options, trainer.images, read_table(folder.metrics)
    last = rows[-1] if rows else {}
    numbers = {name: float(last[name]) for name in ("loss", "mi", "mi_ceiling", "accuracy") if last.get(name)}
    if isinstance(trainer.model, Supervised) and images.has_labels:
        numbers["test_accuracy"] = own_accuracy(trainer.model, trainer.model.encoder, images, options)
    return {
        "environment": environment(trainer.device),
        "training": {
            "encoder": options.encoder,
            "train_images": len(images.train.labels),
            "test_images": len(images.test.labels),
            **({"processes": trainer.team.size} if trainer.team.size > 1 else {}),
            **({"before": trainer.before} if trainer.before else {}),
            "steps": trainer.step,
            "epochs": trainer.step / trainer.steps_an_epoch,
            "seconds": trainer.seconds,
            "images_per_second": trainer.step * options.batch / max(trainer.seconds, 1e-9),
            **numbers,
        },
    }


def neighbours(encoder: torch.nn.Module, images: Images, options: Options, path: Path, k: int = 6) -> dict[str, Any]:
    """Draw a few queries with their nearest images, and return how often a neighbour has the query's class."""
    # Drawn at random, since a folder of images is sorted by class.
    pixels, labels = few(images.test, 2000, options.seed)
    if len(pixels) <= k:
        return {}
    queries = min(500, len(pixels))
    found = nearest(encoder, pixels, queries, k, options)
    first = [int((labels == label).nonzero()[0]) for label in labels.unique()[:8]] if images.has_labels else []
    shown = torch.tensor(first) if len(first) > 1 else torch.arange(8)
    shown = shown[shown < queries]
    picked = {
        {"y": "nearest in y", "pixels": "nearest in pixels"}[name]: indices[shown] for name, indices in found.items()
    }
    figures.neighbours(pixels, labels, shown, picked, path)
    if not images.has_labels:
        return {}
    same = {name: (labels[indices] == labels[:queries, None]).float().mean().item() for name, indices in found.items()}
    return {"k": k, "queries": queries, **same}
