"""Complete and checked options: from the defaults, a recipe and the given options, or from a run to continue."""

import numbers
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BadInput
from .options import LARGEST, LARGEST_SIDE, MEASURES, MOST_THREADS, Options, flag_of, requested
from .recipes import RECIPES


def resolve(given: dict[str, Any]) -> Options:
    """Return the defaults, overridden by the recipe and then by the given options."""
    recipe = given.get("recipe", _default("recipe"))
    settings = {**RECIPES[recipe], **given, "recipe": recipe}
    if given.get("epochs") and "minutes" not in given:  # a length of 0 leaves the other unchanged
        settings["minutes"] = 0.0
    if given.get("minutes") and "epochs" not in given:
        settings["epochs"] = 0.0
    options = Options(**{name: _plain(name, value) for name, value in settings.items()})
    if not options.out:
        what = options.estimator if options.objective == "dim" else options.objective
        options = replace(options, out=f"runs/{options.data}-{what}-{options.seed}")
    check(options)
    return options


def resume(given: dict[str, Any], saved: dict[str, Any], folder: Path) -> Options:
    """Return the saved options with the new values of free ones; any other difference is an error."""
    free = {f.name for f in fields(Options) if f.metadata["free"]}
    ran = {f.name: saved.get(f.name, f.default) for f in fields(Options)}  # an older run may lack an option
    clashes = [
        f"{flag_of(name)} {value} (the run has {ran[name]})"
        for name, value in given.items()
        if name not in free and not same(name, value, ran[name])
    ]
    if clashes:
        raise BadInput(
            f"--resume: {folder} was begun with other settings: {', '.join(clashes)}; "
            "to go on with the run, give its settings or leave these out; to begin a new one, choose another --out"
        )
    known = {f.name for f in fields(Options)}
    changed = {name: value for name, value in given.items() if name in free}
    options = Options(**{k: _plain(k, v) for k, v in {**saved, **changed}.items() if k in known})
    check(options)
    return options


def same(name: str, asked: Any, ran: Any) -> bool:
    """Return whether the option of a run has the requested value; the encoder ``auto`` matches every name.

    A run saves the name of its encoder in place of ``auto``.
    """
    return asked == ran or (name == "encoder" and asked == "auto")


def check(options: Options) -> None:
    """Refuse options that cannot be run, before any data are read."""
    for f in fields(Options):
        value = getattr(options, f.name)
        if isinstance(value, (int, float)) and not 0 <= value <= LARGEST:  # this refuses NaN too
            raise BadInput(f"{flag_of(f.name)}: expected a number from 0 to {LARGEST:,}; got {value}")
        if f.metadata["choices"] and value not in f.metadata["choices"]:
            raise BadInput(
                f"{flag_of(f.name)}: expected one of {', '.join(map(str, f.metadata['choices']))}; got {value}"
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
        (options.estimator == "infonce" or not options.anchor, "--anchor", "--estimator infonce", options.estimator),
        (not (options.prior_noise and options.gamma), "--prior-noise", "no --gamma: one of the two", options.gamma),
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
        (
            options.views == 2 or not (options.symmetric or options.between_views),
            "--symmetric/--between-views",
            "two views, --views 2",
            f"--views {options.views}",
        ),
        (
            options.globals == "one" or not options.between_views,
            "--between-views",
            "one global feature, --globals one",
            options.globals,
        ),
        (options.between_temperature > 0, "--between-temperature", "a positive number", options.between_temperature),
        (
            options.between_layer == "y" or options.between_views,
            "--between-layer",
            "a weight, --between-views 1",
            "no --between-views",
        ),
        (
            options.conv_global == "y" or (options.beta_conv and options.globals == "one"),
            "--conv-global fc",
            "a weight, --beta-conv 1, and --globals one",
            f"--beta-conv {options.beta_conv:g} --globals {options.globals}",
        ),
        (
            options.objective == "dim" or not options.supervised_baseline,
            "--supervised-baseline",
            "--objective dim, whose run it is compared with",
            f"--objective {options.objective}",
        ),
        (options.dim > 0, "--dim", "at least 1", options.dim),
        (options.units > 0, "--units", "at least 1", options.units),
        (options.beta2 < 1, "--beta2", "a decay, at least 0 and below 1", options.beta2),
        (options.grey <= 1, "--grey", "a share, at most 1", options.grey),
        (options.jitter <= 1, "--jitter", "a strength, at most 1", options.jitter),
        (options.size <= LARGEST_SIDE, "--size", f"at most {LARGEST_SIDE:,} pixels", options.size),
        (options.threads <= MOST_THREADS, "--threads", f"at most {MOST_THREADS:,}", options.threads),
        (options.workers <= MOST_THREADS, "--workers", f"at most {MOST_THREADS:,}", options.workers),
        (options.probe_images >= 2, "--probe-images", "at least 2", options.probe_images),
        (options.semi_labels != 1, "--semi-labels", "0, all of them, or at least 2", options.semi_labels),
        (
            options.measure_images not in (1, 2, 3),
            "--measure-images",
            "0, all of them, or at least 4",
            options.measure_images,
        ),
        (options.probe_epochs > 0, "--probe-epochs", "at least 1", options.probe_epochs),
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


def _plain(name: str, value: Any) -> Any:
    """Convert a value, such as a NumPy number, to the Python type of the option, which config.json can hold."""
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
    raise BadInput(f"{flag_of(name)}: expected {spelt}; got {value!r}")


def _default(name: str) -> Any:
    return next(f.default for f in fields(Options) if f.name == name)
