"""examples/quickstart.py runs from the command line as in `make demo`; reproduction/compare_runs.py compares runs."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_quickstart_prints_its_table_and_draws(tmp_path):
    command = [sys.executable, str(EXAMPLES / "quickstart.py"), "--smoke"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    for row in ("raw pixels", "y, untrained", "y, trained"):
        assert row in done.stdout
    for name in ("results.png", "neighbours.png"):
        assert (tmp_path / "runs" / "quickstart" / name).stat().st_size > 10_000


@pytest.mark.filterwarnings("default")
class TestParts:
    @pytest.fixture
    def quickstart(self, example):
        return example("quickstart")

    def test_training_and_test_images_are_different_ones(self, quickstart):
        train, train_labels, test, test_labels = quickstart.digits()
        assert len(train) + len(test) == len(train_labels) + len(test_labels) == 1797
        seen = {image.numpy().tobytes() for image in train}
        assert not any(image.numpy().tobytes() in seen for image in test)

    def test_labels_are_drawn_evenly(self, quickstart):
        labels = torch.arange(10).repeat(30)
        shown = quickstart.choose(labels, 50, seed=3)
        assert labels[shown].bincount().tolist() == [5] * 10
        assert len(set(shown.tolist())) == 50

    @pytest.mark.parametrize(
        ("trained", "said"), [(90.0, "better than raw"), (10.0, "no better than raw"), (50.0, "no better than raw")]
    )
    def test_the_verdict_follows_the_figures(self, quickstart, capsys, trained, said):
        row = {count: [50.0, 50.0] for count in quickstart.LABELS}
        best = {count: [trained, trained] for count in quickstart.LABELS}
        quickstart.report({"raw pixels": row, "y, untrained": row, "y, trained": best})
        assert f"The trained y is {said} pixels" in capsys.readouterr().out


class TestCompareRuns:
    @pytest.fixture
    def runs(self, tmp_path):
        for name, objective, untrained in (("one", "dim", {"conv": 30.0, "y": 20.0}), ("two", "supervised", None)):
            options = {"objective": objective, "estimator": "jsd", "alpha": 0.0, "beta": 1.0, "epochs": 5.0}
            probes = {"trained": {"conv": 60.5, "y": 50.25}} | ({"untrained": untrained} if untrained else {})
            training = {"seconds": 600.0, "epochs": 4.5, "images_per_second": 400.0}
            (tmp_path / name).mkdir()
            results = {"options": options, "probes": probes, "training": training}
            (tmp_path / name / "results.json").write_text(json.dumps(results))
        return [str(tmp_path / "one"), str(tmp_path / "two")]

    def test_a_row_a_run_and_the_untrained_encoder_once(self, parts, runs, tmp_path, capsys):
        again = tmp_path / "again" / "one"
        shutil.copytree(runs[0], again)
        assert parts.compare_runs.main([*runs, str(again), "--out", str(tmp_path / "table")]) == 0
        with (tmp_path / "table.csv").open(newline="") as file:
            rows = list(csv.reader(file))
        names = [f"DIM(L) JSD ({tmp_path.name}/one)", "supervised", "DIM(L) JSD (again/one)"]  # both folders are `one`
        assert [row[0] for row in rows] == ["encoder", "untrained", *names]
        assert rows[2][1:5] == ["60.50", "50.25", "10.0", "4.5"]
        assert (tmp_path / "table.md").read_text() == capsys.readouterr().out
        assert (tmp_path / "table.png").stat().st_size > 10_000

    def test_a_run_twice(self, parts, runs, capsys):
        assert parts.compare_runs.main([*runs, f"{runs[1]}/../one"]) == 2
        assert "expected each run once" in capsys.readouterr().err

    def test_runs_without_probes_have_no_picture(self, parts, runs, tmp_path, capsys):
        path = tmp_path / "two" / "results.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"probes": {}}))
        assert parts.compare_runs.main([runs[1], "--out", str(tmp_path / "table")]) == 0
        assert "no run has probes" in capsys.readouterr().err
        assert not (tmp_path / "table.png").exists()

    def test_a_folder_without_results(self, parts, tmp_path, capsys):
        assert parts.compare_runs.main([str(tmp_path)]) == 2
        assert "results.json" in capsys.readouterr().err
