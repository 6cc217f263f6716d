"""The report of a run, its settings and results, as report.md and as report.html with embedded pictures."""

from pathlib import Path
from typing import Any

from . import figures
from .card import snippet
from .files import write_text
from .page import Block, html_page, markdown
from .run_folder import RunFolder, read_table

IN_NATS = ("infonce", "dv", "mine", "nwj", "kl", "tuba", "alpha_tuba")  # estimators whose loss is in nats
BASELINES = {"vae": "VAE", "nat": "NAT", "bigan": "BiGAN", "cpc": "CPC"}


def name_of(options: dict[str, Any]) -> str:
    """Return the name of a run in a table: `DIM(L) InfoNCE`, `DIM(G) JSD`, `supervised`, ..."""
    if not (options["epochs"] or options["minutes"]):
        return "not trained"
    if options["objective"] != "dim":
        return BASELINES.get(options["objective"], options["objective"])
    parts = "+".join(letter for letter, weight in (("G", "alpha"), ("L", "beta")) if options[weight])
    return f"DIM({parts}) {estimator_name(options['estimator'])}"


def estimator_name(name: str) -> str:
    """Return the spelling of an estimator in a table."""
    return {"infonce": "InfoNCE", "hellinger": "Hellinger", "chi2": "chi2"}.get(name, name.upper())


def images_of(options: dict[str, Any]) -> str:
    """Return the name of the images: that of the data set or of the folder."""
    return Path(options["root"]).stem if options["data"] == "folder" else options["data"]


def shown(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options to show in the report, without empty ones; of paths, only the last part is shown."""
    paths = {name: Path(options[name]).name for name in ("root", "test_root", "start_from") if options.get(name)}
    return {
        name: value
        for name, value in {**options, **paths}.items()
        if value not in ("", None) and name not in ("out", "cache", "workers")
    }


def unit_of_loss(options: dict[str, Any]) -> str:
    """Return the unit of the column `loss`: nats for a single bound, empty for a sum of terms of different units."""
    others = any(options.get(name) for name in ("gamma", "coordinates", "relative_coordinates", "activation_penalty"))
    bound = (
        options["objective"] == "dim" and options["estimator"] in IN_NATS and options["alpha"] + options["beta"] == 1
    )
    return "nats" if bound and not others else ""


def accuracy_table(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the rows of the accuracy table: untrained encoder, this run, supervised run; the columns are layers."""
    rows = {}
    for name in ("untrained", "trained", "supervised"):
        if results["probes"].get(name):
            label = {"trained": name_of(results["options"])}.get(name, name)
            rows[label] = results["probes"][name]
    return rows


def write(folder: RunFolder, results: dict[str, Any]) -> None:
    """Draw the pictures and write the report in both formats."""
    metrics, quick = read_table(folder.metrics), read_table(folder.probes)
    table = accuracy_table(results)
    blocks = _summary(results)
    if table:
        blocks += [
            ("heading", "What the encoder is worth"),
            ("table", _rows(table, results)),
            ("note", _probe_note(results)),
        ]
        path = folder.figures / "accuracy.png"
        figures.accuracies(table, path)
        blocks += _picture(path, "Test accuracy at three layers of the frozen encoder")
    blocks += [("heading", "Using the encoder"), ("text", "In the run folder:"), ("code", snippet(results["options"]))]
    if results.get("measures"):
        blocks += [("heading", "Other measures"), ("table", _measures(results)), *_measure_notes(results)]
        blocks += _picture(folder.figures / "reconstructions.png", "Test images, and what a decoder makes of y")
    if metrics:
        path = folder.figures / "curves.png"
        figures.curves(metrics, path, unit_of_loss(results["options"]))
        drawn = _picture(path, "Loss and mutual information over the training time")
        blocks += [("heading", "Training"), *drawn] if drawn else []
    if len({row["step"] for row in quick}) > 1:
        path = folder.figures / "learning.png"
        figures.learning(quick, path)
        blocks += _picture(path, "Accuracy of quick probes while training")
    path = folder.figures / "neighbours.png"
    drawn = _picture(path, "Test images and their nearest neighbours in y and in pixels")
    if drawn:
        blocks += [("heading", "Nearest neighbours"), ("text", _neighbour_text(results)), *drawn]
    blocks.append(("heading", "Settings"))
    settings = ", ".join(f"`{key} {value}`" for key, value in shown(results["options"]).items())
    blocks += [("note", settings), ("note", ", ".join(f"{k} {v}" for k, v in results["environment"].items()))]

    title = f"{name_of(results['options'])} on {images_of(results['options'])}"
    write_text(folder.path / "report.md", markdown(title, blocks, folder.path))
    write_text(folder.path / "report.html", html_page(title, blocks))


def _picture(path: Path, caption: str) -> list[Block]:
    """Return the picture as a list of one block; of none if it was not drawn."""
    return [("picture", (path, caption))] if path.exists() else []


def _summary(results: dict[str, Any]) -> list[Block]:
    training, options = results["training"], results["options"]
    text = (
        f"{training['train_images']:,} images, {training['epochs']:.1f} epochs in {training['seconds'] / 60:.1f} "
        f"minutes of training on {results['environment']['device']} ({training['images_per_second']:,.0f} images/s); "
        f"encoder `{training['encoder']}`, batches of {options['batch']}."
    )
    if training.get("before"):
        before = training["before"]
        text += (
            f" It began with the weights of an earlier run, after {before['epochs']:.1f} epochs and "
            f"{before['seconds'] / 60:.1f} minutes."
        )
    if training.get("mi") is not None:
        text += f" Mutual information at the end: {training['mi']:.2f} nats"
        if training.get("mi_ceiling") is not None:
            text += f", of the {training['mi_ceiling']:.2f} this estimator can report with so many negatives"
        text += "."
    if training.get("test_accuracy") is not None:
        accuracy = with_error(training["test_accuracy"], training.get("test_images"))
        text += f" Test accuracy of the classifier that was trained with it: {accuracy} %."
    return [("text", text)]


def _probe_note(results: dict[str, Any]) -> str:
    probe = results["probe"]
    left_out = " training images that were left out" if results["options"].get("validation") else ""
    return (
        f"Test accuracy in % of a probe with one hidden layer of 200 units on the frozen encoder, trained on "
        f"{probe['train_images']:,} labelled images for {probe['epochs']} epochs and tested on "
        f"{probe['test_images']:,}{left_out}; one seed. ± is the standard error of a share of so many test images."
        f"{_tuning_note(results)}"
    )


def _tuning_note(results: dict[str, Any]) -> str:
    """Return which settings of the probe were chosen on training images, or nothing."""
    tuning = results["probe"].get("tuning", {}).get("trained")
    if not tuning:
        return ""
    best = {layer: max(trials, key=lambda trial: trial["accuracy"]) for layer, trials in tuning.items()}
    chosen = ", ".join(f"{trial['lr']:g} and {trial['weight_decay']:g} at {layer}" for layer, trial in best.items())
    return (
        " The probe's learning rate and weight decay were chosen by the accuracy on "
        f"{results['probe']['tuned_on']:,} of the labelled "
        f"training images, and the probe was then trained on all of them: {chosen}."
    )


TITLES = {
    "linear": "softmax regression, frozen",
    "knn": "20 nearest neighbours vote",
    "svm": "linear SVM, frozen",
    "semi": "fine-tuned with few labels",
    "msssim": "decoder of y",
    "mine": "I(X; Y) by MINE, at least",
    "ndm": "dependence of the units of y",
}


def _measures(results: dict[str, Any]) -> list[list[str]]:
    """Return a table with a line per measure, layer and unit, and a column per encoder."""
    rows = [row for taken in results["measures"].values() for row in taken["rows"]]
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    found: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["measure"], row["layer"], row["unit"]), {})[row["encoder"]] = row
    body = []
    for (measure, layer, unit), by_encoder in found.items():
        count = results["training"].get("test_images")
        cells = [_number(by_encoder.get(encoder), count) for encoder in encoders]
        limits = [row["limit"] for row in by_encoder.values() if row["limit"] is not None]
        limit = f"{limits[0]:.2f}" if limits else ""
        body.append([f"{measure}: {TITLES[measure]}", layer, *cells, unit, limit])
    return [["measure", "layer", *encoders, "unit", "limit"], *body]


def _number(row: dict[str, Any] | None, count: int | None) -> str:
    if row is None:
        return ""
    if row["unit"] == "%":
        return with_error(row["value"], count)
    if row["unit"] == "nats" and row["value"] > row["limit"]:
        return f"> {row['limit']:.2f} ({row['value']:.2f})"
    return f"{row['value']:.2f}" if row["unit"] == "nats" else f"{row['value']:.4f}"


def _measure_notes(results: dict[str, Any]) -> list[Block]:
    notes: list[Block] = [("note", "All are measured on test images.")]
    for name, taken in results["measures"].items():
        seconds = {row["encoder"]: row["seconds"] for row in taken["rows"] if row["encoder"] != "from scratch"}
        spent = ", ".join(f"{encoder} {value:.0f} s" for encoder, value in seconds.items())
        notes.append(("note", f"`{name}`: {taken['note']} Time: {spent}."))
    return notes


def _neighbour_text(results: dict[str, Any]) -> str:
    found = results.get("neighbours") or {}
    text = "On the left a test image; then the test images nearest to it by L1 distance, in `y` and in raw pixels."
    if "y" in found:
        text += (
            f" Green: the same class. Of the nearest {found['k']} of every query tried ({found['queries']:,}), "
            f"{found['y']:.0%} share its class in `y` and {found['pixels']:.0%} in pixels."
        )
    return text


def with_error(accuracy: float, count: int | None) -> str:
    """Return an accuracy in % with its standard error over ``count`` test images, if their number is known.

    The standard error counts one more image as right and one more as wrong, so that it is not 0 for 20 of 20.
    """
    if not count:
        return f"{accuracy:.2f}"
    share = (accuracy / 100 * count + 1) / (count + 2)
    return f"{accuracy:.2f} ± {100 * (share * (1 - share) / (count + 2)) ** 0.5:.2f}"


def _rows(table: dict[str, dict[str, float]], results: dict[str, Any]) -> list[list[str]]:
    layers = list(dict.fromkeys(layer for row in table.values() for layer in row))
    count = results["probe"]["test_images"] if "probe" in results else None
    body = [[name, *(with_error(row[k], count) if k in row else "" for k in layers)] for name, row in table.items()]
    return [["encoder", *layers], *body]
