"""Every option of a run: one dataclass, from which the command line, ``config.json`` and ``--resume`` follow."""

import argparse
import numbers
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BadInput
from .recipes import RECIPES

DATASETS = ("cifar10", "cifar100", "stl10", "fashion-mnist", "folder", "digits")
ESTIMATORS = (
    "infonce",
    "jsd",
    "dv",
    "nwj",
    "smile",
    "mine",
    "tuba",
    "alpha_tuba",
    "kl",
    "hellinger",
    "chi2",
    "gan",
)
OBJECTIVES = ("dim", "supervised", "autoencoder", "vae", "nat", "bigan", "cpc")
PRIOR_MEASURES = ("gan", "jsd", "dv", "kl", "rkl", "hellinger", "chi2", "wasserstein")
MEASURES = ("probes", "linear", "knn", "svm", "semi", "msssim", "mine", "ndm", "neighbours")
LARGEST = 2**31 - 1
CRITICS = ("dot", "concat", "bilinear", "cosine")


def option(default: Any, group: str, text: str, *, choices: Any = None, free: bool = False) -> Any:
    """A field that knows its help text; ``free`` marks one that may change between a run and its resumption."""
    return field(default=default, metadata={"group": group, "help": text, "choices": choices, "free": free})


@dataclass(frozen=True)
class Options:
    """What one run is. Frozen: a run does not change its mind; ``--resume`` reads it back from the run folder."""

    data: str = option("cifar10", "most used", "data set, or `folder` for images of your own", choices=DATASETS)
    root: str = option(
        "data", "most used", "where the data are: a folder, or with --data folder also a .zip", free=True
    )
    size: int = option(0, "most used", "resize and centre-crop images to this many pixels; 0: as they are")
    minutes: float = option(0.0, "most used", "training time, probes not counted; the schedule follows the share used")
    batch: int = option(256, "most used", "images per step")
    out: str = option("", "most used", "run folder; empty: runs/DATA-OBJECTIVE-SEED", free=True)

    recipe: str = option("fast", "run", "named settings to start from", choices=tuple(RECIPES))
    seed: int = option(0, "run", "seed of weights, order of images and augmentation")
    epochs: float = option(0.0, "run", "passes over the images; 0: use --minutes")
    max_steps: int = option(0, "run", "stop after this many steps, whatever else is asked; 0: no limit")

    test_root: str = option("", "data", "--data folder: test images; empty: hold some of --root out", free=True)
    holdout: float = option(0.1, "data", "--data folder without --test-root: share of images held out")
    download: bool = option(False, "data", "let torchvision download the data set to --root", free=True)
    crop: int = option(0, "data", "train on random crops of this many pixels, test on the centre; 0: whole images")
    train_images: int = option(0, "data", "use only this many training images; 0: all")
    test_images: int = option(0, "data", "use only this many test images; 0: all")
    cache: str = option("runs/cache", "data", "where decoded image folders are kept; empty: nowhere", free=True)
    skip_bad: bool = option(False, "data", "--data folder: leave out images that cannot be decoded")
    value_range: str = option(
        "", "data", "--data folder: LOW,HIGH of 16-bit, 32-bit and float images, to be black and white; 16-bit: 0,65535"
    )
    workers: int = option(4, "data", "threads that decode an image folder", free=True)

    views: int = option(1, "augmentation", "2: locals of one random view, globals of another", choices=(1, 2))
    pad: int = option(0, "augmentation", "random shifts: reflect-pad by this many pixels, crop back")
    flip: bool = option(False, "augmentation", "random horizontal flips")
    area: float = option(1.0, "augmentation", "random zoom to a window of at least this share of the image")
    jitter: float = option(0.0, "augmentation", "strength of random brightness, contrast, saturation and hue")
    grey: float = option(0.0, "augmentation", "share of images turned grey")
    occlusion: float = option(0.0, "augmentation", "hide a block of this share of the side from the global's image")

    objective: str = option("dim", "objective", "Deep InfoMax, or a baseline for the same encoder", choices=OBJECTIVES)
    encoder: str = option(
        "auto",
        "objective",
        "conv28, conv32, conv64, alexnet64, resnet32-crops or alexnet64-crops; auto: by image size",
    )
    globals: str = option("one", "objective", "global features of an encoder on crops", choices=("one", "many"))
    dim: int = option(64, "objective", "units of the global feature y")
    alpha: float = option(0.0, "objective", "weight of the global objective, DIM(G)")
    beta: float = option(1.0, "objective", "weight of the local objective, DIM(L)")
    gamma: float = option(0.0, "objective", "weight of the prior term")
    prior: str = option("uniform", "objective", "what y is to be distributed like", choices=("uniform", "normal"))
    prior_measure: str = option(
        "gan", "objective", "how far from it the discriminator measures", choices=PRIOR_MEASURES
    )
    prior_penalty: float = option(0.0, "objective", "weight of the discriminator's gradient penalty")
    coordinates: float = option(0.0, "objective", "weight of predicting a location's row and column")
    relative_coordinates: float = option(0.0, "objective", "weight of predicting the way from one location to another")
    activation_penalty: float = option(0.0, "objective", "weight of the mean squared length of y")
    estimator: str = option("infonce", "objective", "bound that is maximised", choices=ESTIMATORS)
    critic: str = option("dot", "objective", "what scores a (local, global) pair", choices=CRITICS)
    units: int = option(256, "objective", "units of the space in which the critic compares")
    scale: float = option(0.0, "objective", "factor of the scores of a dot or bilinear critic; 0: its own default")
    locations: int = option(0, "objective", "score a random subset of this many locations an image; 0: all")
    negatives: int = option(0, "objective", "score against this many other images only; 0: all in the batch")

    lr: float = option(1e-3, "optimiser", "peak learning rate (AdamW)")
    weight_decay: float = option(0.0, "optimiser", "decoupled weight decay of matrices and kernels")
    beta2: float = option(0.999, "optimiser", "decay of AdamW's second moment")
    warmup: float = option(0.2, "optimiser", "share of the run over which the rate rises linearly")
    schedule: str = option(
        "cosine", "optimiser", "how the rate falls after --warmup", choices=("cosine", "linear", "constant")
    )
    ema: float = option(0.0, "optimiser", "decay of an average of the weights, kept as the encoder; 0: none")

    device: str = option("auto", "machine", "cpu, cuda, cuda:1, mps; auto: cuda where there is one", free=True)
    threads: int = option(0, "machine", "CPU threads; 0: torch's choice", free=True)
    bf16: bool = option(False, "machine", "autocast the step to bfloat16")
    compile: bool = option(False, "machine", "torch.compile the step", free=True)

    log_every: int = option(50, "reporting", "steps a row of metrics.csv")
    checkpoint_every: int = option(0, "reporting", "steps between checkpoints, besides one an epoch", free=True)
    quick_probes: int = option(
        0, "reporting", "quick probes spread evenly over the run, after one at its start; 0: none", free=True
    )
    probe_images: int = option(5000, "reporting", "labelled images of a quick probe", free=True)
    probe_epochs: int = option(15, "reporting", "epochs of the final 200-unit probe", free=True)
    measures: str = option(
        "probes,neighbours",
        "reporting",
        f"what the finished encoder is measured by, with commas: {', '.join(MEASURES)}; or all",
        free=True,
    )
    measure_images: int = option(
        10000, "reporting", "training images that msssim, mine and ndm learn from; 0: all", free=True
    )
    measure_epochs: int = option(8, "reporting", "epochs of the decoder of msssim and the critic of mine", free=True)
    semi_labels: int = option(5000, "reporting", "labelled images that semi fine-tunes with; 0: all", free=True)
    semi_epochs: int = option(15, "reporting", "epochs of semi", free=True)
    untrained: bool = option(True, "reporting", "measure the untrained encoder too", free=True)
    supervised_baseline: bool = option(
        False, "reporting", "then train the same encoder with labels for as long, in RUN/supervised", free=True
    )


def add_arguments(
    parser: argparse.ArgumentParser, defaults: dict[str, Any] | None = None, leave_out: tuple[str, ...] = ()
) -> dict[str, Any]:
    """An argument for every field but some, without defaults: what the user did not say stays absent.

    Args:
        parser: to add them to.
        defaults: what is in force where nothing is said; None if it is not known here, and not shown.
        leave_out: fields without an argument.

    Returns:
        The groups of arguments by name, for arguments that are no fields.
    """
    groups: dict[str, Any] = {}
    for f in fields(Options):
        if f.name in leave_out:
            continue
        name = f.metadata["group"]
        group = groups[name] = groups.get(name) or parser.add_argument_group(name)
        flag, boolean = "--" + f.name.replace("_", "-"), isinstance(f.default, bool)
        shown = "" if defaults is None else defaults.get(f.name, f.default)
        shown = ("on" if shown else "off") if boolean and defaults is not None else shown
        text = f.metadata["help"].replace("%", "%%") + (f" (default: {shown})" if shown != "" else "")
        if boolean:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
        else:
            group.add_argument(
                flag,
                type=type(f.default),
                choices=f.metadata["choices"],
                metavar=None if f.metadata["choices"] else type(f.default).__name__.upper(),
                default=argparse.SUPPRESS,
                help=text,
            )
    return groups


def resolve(given: dict[str, Any]) -> Options:
    """Defaults, then the recipe, then what was given."""
    recipe = given.get("recipe", _default("recipe"))
    settings = {**RECIPES[recipe], **given, "recipe": recipe}
    if "epochs" in given and "minutes" not in given:
        settings["minutes"] = 0.0
    if "minutes" in given and "epochs" not in given:
        settings["epochs"] = 0.0
    options = Options(**{name: _plain(name, value) for name, value in settings.items()})
    if not options.out:
        what = options.estimator if options.objective == "dim" else options.objective
        options = replace(options, out=f"runs/{options.data}-{what}-{options.seed}")
    check(options)
    return options


def _plain(name: str, value: Any) -> Any:
    """A number or truth value as Python's own, so that config.json can hold it: numpy has others."""
    kind = type(_default(name))
    if kind is bool and isinstance(value, (bool, np.bool_)):
        return bool(value)
    if kind is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if kind is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(value)
    if kind is str and isinstance(value, (str, Path)):
        return str(value)
    spelt = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]
    raise BadInput(f"{_flag(name)}: expected {spelt}; got {value!r}")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def check(options: Options) -> None:
    """Refuse what cannot be run, before any data are read."""
    for f in fields(Options):
        value = getattr(options, f.name)
        if isinstance(value, (int, float)) and not 0 <= value <= LARGEST:  # a NaN is not, either
            raise BadInput(f"{_flag(f.name)}: expected a number from 0 to {LARGEST:,}; got {value}")
        if f.metadata["choices"] and value not in f.metadata["choices"]:
            raise BadInput(
                f"{_flag(f.name)}: expected one of {', '.join(map(str, f.metadata['choices']))}; got {value}"
            )
    rules = [
        (options.batch >= 2, "--batch", "at least 2 images: the others are the negatives", options.batch),
        (not (options.epochs and options.minutes), "--epochs/--minutes", "one of the two", "both"),
        (0 < options.holdout < 1, "--holdout", "a share between 0 and 1", options.holdout),
        (0 <= options.warmup < 1, "--warmup", "a share of the run, at least 0 and below 1", options.warmup),
        (0 <= options.occlusion < 1, "--occlusion", "a share, at least 0 and below 1", options.occlusion),
        (0 < options.area <= 1, "--area", "a share above 0 and at most 1", options.area),
        (0 <= options.ema < 1, "--ema", "a decay, at least 0 and below 1", options.ema),
        (options.lr > 0, "--lr", "a positive number", options.lr),
        (
            options.prior_measure != "wasserstein" or options.prior_penalty > 0,
            "--prior-measure wasserstein",
            "a gradient penalty, as in --prior-penalty 10",
            options.prior_penalty,
        ),
        (
            options.globals == "one" or options.objective in ("dim", "supervised"),
            f"--objective {options.objective}",
            "one global feature, --globals one",
            options.globals,
        ),
        (
            options.objective != "cpc" or options.encoder.endswith("-crops"),
            "--objective cpc",
            "an encoder on crops, --encoder resnet32-crops or alexnet64-crops",
            f"--encoder {options.encoder}",
        ),
        (options.measure_epochs > 0, "--measure-epochs", "at least 1", options.measure_epochs),
        (options.semi_epochs > 0, "--semi-epochs", "at least 1", options.semi_epochs),
        (options.log_every > 0, "--log-every", "at least 1 step", options.log_every),
        (
            options.objective != "dim" or any((options.alpha, options.beta)),
            "--alpha/--beta",
            "at least one of them above 0, or there is nothing to maximise",
            "0 and 0",
        ),
    ]
    allowed = f"some of {', '.join(MEASURES)}, or all"
    rules += [(name in MEASURES, "--measures", allowed, name) for name in requested(options)]
    for holds, name, rule, came in rules:
        if not holds:
            raise BadInput(f"{name}: expected {rule}; got {came}")


def requested(options: Options) -> tuple[str, ...]:
    """The measures asked for, in the order of `MEASURES`; names that are none come last."""
    names = [name.strip() for name in options.measures.split(",") if name.strip()]
    if names == ["all"]:
        return MEASURES
    return tuple(sorted(dict.fromkeys(names), key=lambda name: MEASURES.index(name) if name in MEASURES else 99))


def resume(given: dict[str, Any], saved: dict[str, Any], folder: Path) -> Options:
    """The saved options, with the new values of free ones; any other disagreement is an error that lists it."""
    free = {f.name for f in fields(Options) if f.metadata["free"]}
    clashes = [
        f"{_flag(name)} {value} (the run has {saved[name]})"
        for name, value in given.items()
        if name not in free and name in saved and not same(name, value, saved[name])
    ]
    if clashes:
        raise BadInput(
            f"--resume: {folder} was begun with other settings: {', '.join(clashes)}; "
            "leave them out to go on with the run, or choose another --out to begin a new one"
        )
    known = {f.name for f in fields(Options)}
    changed = {name: value for name, value in given.items() if name in free}
    options = Options(**{k: _plain(k, v) for k, v in {**saved, **changed}.items() if k in known})
    check(options)
    return options


def same(name: str, asked: Any, ran: Any) -> bool:
    """Whether a run with ``ran`` is what was asked for: ``auto`` names the encoder once the images are known."""
    return asked == ran or (name == "encoder" and asked == "auto")


def _default(name: str) -> Any:
    return next(f.default for f in fields(Options) if f.name == name)
