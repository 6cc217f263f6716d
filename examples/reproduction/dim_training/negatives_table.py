"""Accuracy against the number of negatives: table, verdict, picture."""

import statistics
from pathlib import Path
from typing import Any

from . import figures, report
from .errors import BadInput
from .files import write_text
from .page import markdown_table
from .run_folder import write_table

Rows = list[dict[str, Any]]  # estimator, negatives, seed, and the results of that run


def write(rows: Rows, command: str, out: Path) -> str:
    """Write negatives.md, negatives.csv and negatives.png; return the table and its verdict in words, as Markdown."""
    if any("trained" not in row["results"]["probes"] for row in rows):
        raise BadInput("--data/--root: expected labelled images of two classes or more, for the probes to be compared")
    estimators = list(dict.fromkeys(row["estimator"] for row in rows))
    counts = sorted({row["negatives"] for row in rows})
    layers = list(rows[0]["results"]["probes"]["trained"])
    untrained = [row["results"]["probes"]["untrained"] for row in rows if "untrained" in row["results"]["probes"]]
    head = ["negatives", *(f"{layer}, {report.estimator_name(e)}" for layer in layers for e in estimators)]
    body = [[str(c), *(_spread(_of(rows, e, c, layer)) for layer in layers for e in estimators)] for c in counts]
    body.append(["untrained", *(_spread([u[layer] for u in untrained]) for layer in layers for _ in estimators)])
    parts = [
        markdown_table([head, *body]),
        *(verdict(rows, estimator, counts, layers) for estimator in estimators),
        _conditions(rows),
        f"```bash\n{command}\n```",
    ]
    text = "\n\n".join(parts) + "\n"
    write_text(out / "negatives.md", text)
    table = []
    for row in rows:
        training, probes = row["results"]["training"], row["results"]["probes"]["trained"]
        table.append({**row, **probes, "mi": training.get("mi"), "seconds": training["seconds"]})
    write_table(out / "negatives.csv", ("estimator", "negatives", "seed", *layers, "mi", "seconds"), table)
    lines = {
        report.estimator_name(e): {layer: {c: _of(rows, e, c, layer) for c in counts} for layer in layers}
        for e in estimators
    }
    base = {layer: statistics.fmean(u[layer] for u in untrained) for layer in layers} if untrained else {}
    figures.against_negatives(lines, base, out / "negatives.png")
    return text


def verdict(rows: Rows, estimator: str, counts: list[int], layers: list[str]) -> str:
    """Return in words what an estimator gains or loses, per seed, with the fewest negatives instead of the most."""
    few, most = counts[0], counts[-1]
    found = {
        (r["negatives"], r["seed"]): r["results"]["probes"]["trained"] for r in rows if r["estimator"] == estimator
    }
    seeds = [seed for count, seed in found if count == most and (few, seed) in found]
    if few == most or not seeds:
        return f"{report.estimator_name(estimator)}: nothing to compare yet."
    changes = {layer: [found[few, s][layer] - found[most, s][layer] for s in seeds] for layer in layers}
    spelt = [
        f"{layer} {statistics.fmean(change):+.1f}"
        + (f" (from {min(change):+.1f} to {max(change):+.1f})" if len(seeds) > 1 else "")
        for layer, change in changes.items()
    ]
    return f"{report.estimator_name(estimator)}, {few} instead of {most}: {', '.join(spelt)} points."


def _conditions(rows: Rows) -> str:
    """Return in words what all runs have in common."""
    results = rows[0]["results"]
    training, options = results["training"], results["options"]
    seeds, locations = len({row["seed"] for row in rows}), options["locations"]
    pairs = f"{locations} drawn location{'s' if locations > 1 else ''}" if locations else "all locations"
    minutes = sum(row["results"]["training"]["seconds"] for row in rows) / 60
    made = [f"{name} {value}" for name, value in results["environment"].items() if name in ("torch", "commit")]
    return (
        f"Test accuracy in % of a 200-unit probe on the frozen encoder, {seeds} seed{'s' if seeds > 1 else ''}"
        f"{' (mean ± standard deviation)' if seeds > 1 else ''}. {training['train_images']:,} images of "
        f"{report.images_of(options)}, encoder `{training['encoder']}`, {training['steps']:,} steps of "
        f"{options['batch']} images, {pairs} of each. {minutes:.1f} minutes of training in all, "
        f"{', '.join([results['environment']['device'], *made])}."
    )


def _of(rows: Rows, estimator: str, count: int, layer: str) -> list[float]:
    mine = [row for row in rows if (row["estimator"], row["negatives"]) == (estimator, count)]
    return [row["results"]["probes"]["trained"][layer] for row in mine]


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return "".join(f"{value:.1f}" for value in values)
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f}"
