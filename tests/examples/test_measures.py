"""The measures of train_dim.py: each is taken once and kept, others can be added later, the report shows all."""

import csv
import json

import pytest
import torch
from PIL import Image

RUN = [
    "--smoke",
    "--epochs",
    "1",
    "--threads",
    "1",
    "--train-images",
    "128",
    "--measure-epochs",
    "1",
    "--semi-labels",
    "40",
]

pytestmark = pytest.mark.filterwarnings("default")  # matplotlib, TensorBoard and torchvision warn


@pytest.fixture(scope="module")
def folder(train_dim, tmp_path_factory):
    """Run with two measures and then add three; return the folder and the results after the first two."""
    out = tmp_path_factory.mktemp("runs") / "measured"
    assert train_dim.main([*RUN, "--out", str(out), "--measures", "ndm, msssim"]) == 0
    first = json.loads((out / "results.json").read_text())
    assert train_dim.main(["--out", str(out), "--resume", "--no-untrained", "--measures", "mine,semi,ndm,knn"]) == 0
    return out, first


def rows(out):
    with (out / "measures.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_run_takes_what_is_asked_for_and_nothing_else(folder):
    _, first = folder
    assert list(first["taken"]) == ["msssim", "ndm"]
    assert first["probes"] == {}
    assert "neighbours" not in first
    for taken in first["measures"].values():
        assert {row["encoder"] for row in taken["rows"]} == {"trained", "untrained"}


@pytest.mark.slow
def test_more_measures_of_a_finished_run_leave_the_others_as_they_were(folder):
    out, first = folder
    results = json.loads((out / "results.json").read_text())
    assert list(results["taken"]) == ["msssim", "ndm", "knn", "semi", "mine"]
    assert results["training"] == first["training"]
    for name in ("msssim", "ndm"):
        assert results["measures"][name] == first["measures"][name]
    assert {row["encoder"] for row in results["measures"]["mine"]["rows"]} == {"trained"}  # --no-untrained


@pytest.mark.slow
def test_every_number_has_its_unit_and_its_time(folder):
    out, _ = folder
    table = rows(out)
    assert {(row["measure"], row["layer"], row["unit"]) for row in table} == {
        *(("knn", layer, "%") for layer in ("conv", "fc", "y")),
        ("semi", "conv", "%"),
        ("msssim", "y", "MS-SSIM"),
        ("msssim", "y", "squared error"),
        ("mine", "y", "nats"),
        ("ndm", "y", "nats"),
    }
    for row in table:
        assert float(row["seconds"]) >= 0
        value = float(row["value"])
        if row["unit"] == "%":
            assert 0 <= value <= 100
        elif row["unit"] == "MS-SSIM":
            assert 0 < value < 1
        elif row["unit"] == "nats":
            assert float(row["limit"]) == pytest.approx(4.605, abs=1e-3)  # log 100


@pytest.mark.slow
def test_the_report_shows_them(folder):
    out, _ = folder
    page = (out / "report.md").read_text()
    for text in (
        "Other measures",
        "figures/reconstructions.png",
        "I(X; Y) by MINE",
        "over 2 scales",
        "40 labelled images",
    ):
        assert text in page
    assert (out / "figures" / "reconstructions.png").stat().st_size > 10_000
    assert "What the encoder is worth" not in page  # no probe was taken


def test_unknown_names_are_refused(train_dim, tmp_path, capsys):
    assert train_dim.main([*RUN, "--out", str(tmp_path / "run"), "--measures", "ndm,svn"]) == 2
    said = capsys.readouterr().err
    assert "--measures: expected some of probes, linear, knn, svm, semi" in said
    assert said.rstrip().endswith("got svn")


def test_a_missing_package_is_said_before_training(train_dim, tmp_path, capsys, monkeypatch):
    from dim_training import measures

    monkeypatch.setitem(measures.PACKAGES, "msssim", ("no_such_module", "torchmetrics"))
    assert train_dim.main([*RUN, "--out", str(tmp_path / "run"), "--measures", "msssim"]) == 2
    assert "--measures msssim: expected torchmetrics; it is not installed" in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.csv").exists()


def test_all_is_all_of_them_and_labels_are_needed_by_some(train_dim, capsys):
    from dim_training import measures, options, resolving
    from dim_training.data import Images, ImageSet

    chosen = resolving.resolve({"measures": "all"})
    assert options.requested(chosen) == options.MEASURES
    assert {*measures.MEASURES, "probes", "neighbours"} == set(options.MEASURES)
    assert set(measures.NEED_LABELS) < set(options.MEASURES)
    unlabelled = ImageSet(torch.zeros(3, 8, 8, 1, dtype=torch.uint8), torch.full((3,), -1))
    images = Images(unlabelled, unlabelled, unlabelled, ())
    assert measures.possible(chosen, images) == ["msssim", "mine", "ndm", "neighbours"]
    assert "not measured, since these images have no labels: probes, linear" in capsys.readouterr().out


def test_a_class_that_only_the_test_images_have(train_dim, tmp_path, capsys):
    """The folder has two classes and the training images have one, so the probes failed after every training."""
    for name, count in (("a", 30), ("b", 1)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(count):
            noise = torch.rand(32, 32, generator=torch.Generator().manual_seed(number)).mul(255).byte()
            Image.fromarray(noise.numpy()).save(tmp_path / "images" / name / f"{number}.png")
    run = ["--smoke", "--data", "folder", "--root", str(tmp_path / "images"), "--cache", "", "--seed", "1"]
    run += ["--batch", "8", "--epochs", "1", "--threads", "1", "--no-untrained", "--quick-probes", "2"]
    assert train_dim.main([*run, "--measures", "probes,knn,semi,neighbours", "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "not measured, since the labelled images are of one class: probes, knn, semi" in said
    assert "no quick probes, since the labelled images are of one class" in said
    assert (tmp_path / "run" / "report.html").exists()
    assert train_dim.main(["--out", str(tmp_path / "run"), "--resume"]) == 0
    supervised = ["--objective", "supervised", "--out", str(tmp_path / "supervised")]
    assert train_dim.main([*run, *supervised]) == 2
    assert "--objective supervised: expected training images of two classes or more" in capsys.readouterr().err


def test_what_the_library_refuses_to_measure_is_left_out(train_dim, tmp_path, capsys, monkeypatch):
    """Such an error came after the training and cost the report, at every ``--resume`` again."""
    from dim_training import measures, probes

    def refuse(*_):
        raise ValueError("train_features must be finite")

    monkeypatch.setitem(measures.MEASURES, "ndm", refuse)
    monkeypatch.setattr(probes.evaluation, "evaluate", lambda *_, **__: refuse())
    run = [*RUN, "--no-untrained", "--quick-probes", "2", "--measures", "probes,ndm,neighbours"]
    assert train_dim.main([*run, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "(no more quick probes: train_features must be finite)" in said
    assert said.count("quick probes") == 1
    assert "(not measured: probes: train_features must be finite)" in said
    assert "(not measured: ndm: train_features must be finite)" in said
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["taken"]) == ["neighbours"]
    assert results["probes"] == results["measures"] == {}
    assert (tmp_path / "report.html").exists()
    monkeypatch.undo()
    assert train_dim.main(["--out", str(tmp_path), "--resume", "--measures", "probes"]) == 0
    assert json.loads((tmp_path / "results.json").read_text())["probes"]["trained"]


def test_a_measure_with_other_options_is_taken_again(train_dim, tmp_path):
    """With ``--probe-epochs 5`` on a finished run, the results named five epochs, but no probe was trained."""
    out = tmp_path / "run"
    results = lambda: json.loads((out / "results.json").read_text())  # noqa: E731
    short = ["--smoke", "--epochs", "1", "--threads", "1", "--train-images", "128", "--measures", "probes"]
    assert train_dim.main([*short, "--no-untrained", "--out", str(out)]) == 0
    first = results()
    assert first["probe"]["epochs"] == 2
    assert train_dim.main(["--out", str(out), "--resume", "--probe-epochs", "5", "--untrained"]) == 0
    second = results()
    assert second["probe"]["epochs"] == second["taken"]["probes"]["probe_epochs"] == 5
    assert second["probes"]["trained"] != first["probes"]["trained"]
    assert set(second["probes"]) == {"trained", "untrained"}
    assert "for 5 epochs" in (out / "report.md").read_text()
    assert train_dim.main(["--out", str(out), "--resume", "--no-untrained"]) == 0
    assert results()["probes"] == second["probes"]  # more results than requested are kept
    assert train_dim.main(["--out", str(out), "--resume", "--no-untrained", "--probe-tuning", "30"]) == 0
    third = results()
    assert third["probes"]["trained"] != second["probes"]["trained"]
    trials = third["probe"]["tuning"]["trained"]["y"]
    best = max(trials, key=lambda trial: trial["accuracy"])
    assert len({(trial["lr"], trial["weight_decay"]) for trial in trials}) == len(trials) > 2
    assert f"{best['lr']:g} and {best['weight_decay']:g} at y" in (out / "report.md").read_text()


@pytest.mark.parametrize("name", ["msssim", "semi", "probes", "ndm"])
def test_what_a_measure_depends_on(parts, name):
    measures, resolve = parts.measures, parts.resolving.resolve
    options = resolve({})
    taken = {name: measures.settings_of(name, options)}
    assert measures.is_taken(name, options, taken)
    assert measures.is_taken(name, resolve({"untrained": False, "threads": 2}), taken)
    changed = {
        "msssim": {"measure_images": 9},
        "semi": {"semi_epochs": 9},
        "probes": {"probe_epochs": 9},
        "ndm": {"measure_images": 9},
    }
    assert not measures.is_taken(name, resolve(changed[name]), taken)
    newest = list(taken[name])[-2]  # an option that an earlier version did not have
    assert measures.is_taken(name, options, {name: {key: taken[name][key] for key in taken[name] if key != newest}})
    assert not measures.is_taken(name, options, {name: taken[name] | {"untrained": False}})
    assert set(measures.USED_BY) == set(parts.options.MEASURES)
