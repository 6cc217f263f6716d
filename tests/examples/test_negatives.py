"""examples/reproduction/negatives.py: the grid, its limits, and a verdict that agrees with the accuracies."""

import csv

import pytest

pytestmark = pytest.mark.filterwarnings("default")  # matplotlib and TensorBoard warn


@pytest.mark.slow
def test_smoke(parts, tmp_path, capsys):
    command = ["--smoke", "--threads", "1", "--out", str(tmp_path)]
    assert parts.negatives.main(command) == 0
    with (tmp_path / "negatives.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["estimator"], row["negatives"], row["seed"]) for row in rows] == [
        ("infonce", "1", "0"),
        ("infonce", "63", "0"),
    ]
    assert (tmp_path / "negatives.png").stat().st_size > 10_000
    metrics = [parts.run_folder.read_table(tmp_path / f"infonce-{n}-0" / "metrics.csv") for n in (1, 63)]
    ceilings = {row["mi_ceiling"][:5] for table in metrics for row in table}
    assert ceilings == {"0.693", "4.158"}  # log(1 + 1) and log(1 + 63)
    capsys.readouterr()
    assert parts.negatives.main(command) == 0  # trains nothing again
    said = capsys.readouterr()
    assert "run in" not in said.out
    assert "InfoNCE, 1 instead of 63: conv" in said.out


def test_counts_grow_by_four_and_end_with_all(parts):
    assert parts.negatives.geometric(63) == [1, 4, 16, 63]
    assert parts.negatives.geometric(255) == [1, 4, 16, 64, 255]
    assert parts.negatives.geometric(1) == [1]


@pytest.mark.parametrize(
    "arguments",
    [["--counts", "64"], ["--counts", "0", "5"], ["--budget", "soon"], ["--seeds", "0"], ["--measures", "knn"]],
)
def test_refusals(parts, arguments, tmp_path, capsys):
    assert parts.negatives.main([*arguments, "--out", str(tmp_path)]) == 2
    assert arguments[0] in capsys.readouterr().err


def test_no_run_is_begun_that_would_end_too_late(parts, tmp_path, monkeypatch, capsys):
    clock = iter(range(0, 10_000, 30))  # each reading adds half a minute, so a run takes about a minute
    made = []
    monkeypatch.setattr(parts.negatives.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(parts.negatives, "carry_out", made.append)
    rows = parts.negatives.grid({"data": "digits", "epochs": 1.0}, ["jsd", "dv"], [1, 4], 3, 5.0, tmp_path)
    assert 2 < len(rows) == len(made) < 12
    assert "of 12 runs made within --budget" in capsys.readouterr().out


def rows_of(table):
    """Return rows from {estimator: {negatives: [accuracy per seed, ...]}}."""
    training = {"train_images": 100, "encoder": "conv32", "steps": 10, "seconds": 60.0, "mi": 1.0}
    options = {"data": "digits", "batch": 64, "locations": 1}
    return [
        {
            "estimator": estimator,
            "negatives": count,
            "seed": seed,
            "results": {
                "probes": {"trained": {"y": accuracy}} | ({"untrained": {"y": 40.0}} if count == 1 else {}),
                "training": training,
                "options": options,
                "environment": {"device": "a device", "torch": "2"},
            },
        }
        for estimator, counts in table.items()
        for count, accuracies in counts.items()
        for seed, accuracy in enumerate(accuracies)
    ]


def test_the_verdict_is_seed_by_seed(parts, tmp_path):
    rows = rows_of({"infonce": {1: [50.0, 54.0], 63: [60.0, 60.0]}, "jsd": {1: [61.0, 59.0], 63: [60.0, 60.0]}})
    text = parts.negatives_table.write(rows, "the command", tmp_path)
    assert "InfoNCE, 1 instead of 63: y -8.0 (from -10.0 to -6.0) points." in text
    assert "JSD, 1 instead of 63: y +0.0 (from -1.0 to +1.0) points." in text
    assert "| 63 | 60.0 ± 0.0 | 60.0 ± 0.0 |" in text
    assert "| untrained | 40.0 ± 0.0 |" in text
    assert "2 seeds (mean ± standard deviation)" in text


def test_what_is_missing_is_not_compared(parts, tmp_path):
    text = parts.negatives_table.write(rows_of({"dv": {1: [50.0], 63: []}}), "the command", tmp_path)
    assert "DV: nothing to compare yet." in text


def test_runs_without_probes_are_refused(parts, tmp_path):
    """The probes of images of one class are left out, which was a KeyError after all runs."""
    rows = rows_of({"dv": {1: [50.0]}})
    rows[0]["results"]["probes"] = {}
    with pytest.raises(parts.errors.BadInput, match="--data/--root: expected labelled images of two classes"):
        parts.negatives_table.write(rows, "the command", tmp_path)
