"""The trainer's command line: defaults in force, messages on misspelt options and on numbers out of range."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image


def helped(train_dim, capsys, *arguments):
    with pytest.raises(SystemExit):
        train_dim.main([*arguments, "--help"])
    return " ".join(capsys.readouterr().out.split())


def test_help_shows_the_defaults_in_force(train_dim, capsys):
    fast, paper = helped(train_dim, capsys), helped(train_dim, capsys, "--recipe", "paper")
    assert "random horizontal flips (default: on)" in fast
    assert "random horizontal flips (default: off)" in paper
    assert "--batch INT images per step (default: 256)" in fast
    assert "--batch INT images per step (default: 64)" in paper


def test_help_begins_with_the_seven_most_used(train_dim, capsys):
    with pytest.raises(SystemExit):
        train_dim.main(["--help"])
    first = capsys.readouterr().out.split("most used:")[1].split("\nrun:")[0]
    flags = re.findall(r"^  (--\w+)", first, re.MULTILINE)
    assert flags == ["--data", "--root", "--size", "--minutes", "--batch", "--out", "--resume"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--estimater", "jsd"], "did you mean --estimator?"),
        (["--estimator", "infonec"], "did you mean infonce?"),
        (["--data", "./photos"], "pass --data folder --root ./photos"),
        (["--batch", "many"], "invalid int value: 'many'"),
        (["--recipe", "paprika"], "did you mean paper?"),
    ],
)
def test_a_near_miss_is_one_line(train_dim, one_line, arguments, said):
    with pytest.raises(SystemExit) as error:
        train_dim.main(arguments)
    assert error.value.code == 2
    assert said in one_line()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--train-images", "-3"], "--train-images"),
        (["--seed", str(10**20)], "--seed"),
        (["--units", str(10**20)], "--units"),
        (["--epochs", "inf"], "--epochs"),
        (["--lr", "nan"], "--lr"),
        (["--minutes", "-1"], "--minutes"),
    ],
)
def test_numbers_out_of_range(train_dim, tmp_path, one_line, arguments, named):
    assert train_dim.main(["--smoke", "--out", str(tmp_path / "run"), *arguments]) == 2
    assert f"{named}: expected a number from 0 to" in one_line()


def test_numbers_of_numpy(train_dim):
    from dim_training.errors import BadInput
    from dim_training.resolving import resolve

    given = {"batch": np.int64(32), "lr": np.float32(0.5), "flip": np.bool_(False), "epochs": 1, "minutes": 0}
    made = resolve(given)
    assert json.loads(json.dumps(vars(made)))["batch"] == 32
    assert (type(made.batch), type(made.lr), type(made.flip), type(made.epochs)) == (int, float, bool, float)
    for name, value in (("batch", 32.5), ("lr", True), ("flip", 1), ("root", 3)):
        with pytest.raises(BadInput, match=f"--{name}: expected"):
            resolve({name: value})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"probe_epochs": 0}, "--probe-epochs: expected at least 1; got 0"),
        ({"units": 0}, "--units: expected at least 1; got 0"),
        ({"beta2": 1.0}, "--beta2: expected a decay, at least 0 and below 1; got 1.0"),
        ({"grey": 2.0}, "--grey: expected a share, at most 1; got 2.0"),
        ({"jitter": 3.0}, "--jitter: expected a strength, at most 1; got 3.0"),
        ({"probe_images": 1}, "--probe-images: expected at least 2; got 1"),
        ({"semi_labels": 1}, "--semi-labels: expected 0, all of them, or at least 2; got 1"),
        ({"measure_images": 3}, "--measure-images: expected 0, all of them, or at least 4; got 3"),
        ({"threads": 2**31 - 1}, "--threads: expected at most 1,024; got 2147483647"),
        ({"workers": 2**31 - 1}, "--workers: expected at most 1,024; got 2147483647"),
        ({"dim": 0}, "--dim: expected at least 1; got 0"),
        ({"size": 100_000}, "--size: expected at most 4,096 pixels; got 100000"),
        (
            {"objective": "vae", "supervised_baseline": True},
            "--supervised-baseline: expected --objective dim, whose run it is compared with; got --objective vae",
        ),
    ],
)
def test_what_fails_late_is_refused_at_once(train_dim, given, said):
    from dim_training.errors import BadInput
    from dim_training.resolving import resolve

    with pytest.raises(BadInput, match=re.escape(said)):
        resolve({"data": "digits", **given})


@pytest.mark.parametrize("option", ["--dim", "--units"])
def test_sizes_beyond_the_memory_are_one_line(train_dim, tmp_path, one_line, option):
    """The line names the options that decide how much memory a run needs."""
    assert train_dim.main(["--smoke", "--out", str(tmp_path / "run"), option, "2147483647"]) == 2
    said = one_line()
    assert f"{option} 2147483647" in said
    assert "expected sizes that fit into memory; got: " in said


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")], ids=repr)
def test_memory_that_runs_out_in_a_step_is_one_line(train_dim, tmp_path, one_line, at_step, error):
    def fail():
        raise error

    at_step(1, fail)
    assert train_dim.main(["--smoke", "--out", str(tmp_path / "run")]) == 2
    assert f"expected sizes that fit into memory; got: {error or 'MemoryError'}" in one_line()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--objective", "vae", "--critic", "concat"], "--critic: expected --objective dim"),
        (["--objective", "supervised", "--views", "1"], "--views: expected --objective dim"),
        (["--prior-measure", "dv"], "--prior-measure: expected a prior term, as in --gamma 0.1"),
        (["--critic", "concat", "--scale", "2"], "--scale: expected --critic dot or bilinear"),
        (["--critic", "bilinear", "--units", "64"], "--units: expected another critic than bilinear"),
        (["--test-root", "more.zip"], "--test-root: expected --data folder"),
    ],
)
def test_an_option_without_effect_is_refused(train_dim, tmp_path, one_line, arguments, said):
    """Such options were accepted, and the run was reported as if they had had an effect."""
    assert train_dim.main(["--smoke", "--out", str(tmp_path / "run"), *arguments]) == 2
    assert f"{said}; without that it has no effect: add that, or leave it out" in one_line()


def test_an_option_is_not_refused_where_its_value_is_in_force_anyway(train_dim):
    from dim_training.effects import refuse_idle
    from dim_training.resolving import resolve

    given = {"objective": "vae", "views": 2, "gamma": 0.0, "critic": "dot"}
    refuse_idle(given, resolve(given))
    refuse_idle({"prior": "normal", "prior_noise": 0.5}, resolve({"prior": "normal", "prior_noise": 0.5}))


def test_a_supervised_baseline_of_few_images_has_their_batch(train_dim, tmp_path):
    """The baseline used the default batch, not the smaller batch of the run, and failed after the training."""
    few = ["--smoke", "--train-images", "40", "--no-untrained", "--threads", "1", "--out", str(tmp_path / "run")]
    assert train_dim.main([*few, "--supervised-baseline"]) == 0
    assert json.loads((tmp_path / "run" / "supervised" / "config.json").read_text())["batch"] == 16


@pytest.mark.parametrize("data", ["cifar10", "fashion-mnist"])
def test_pictures_of_ones_own_are_noticed(train_dim, tmp_path, one_line, data):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "a.jpg")
    root = str(tmp_path / "photos")
    assert train_dim.main(["--data", data, "--root", root, "--out", str(tmp_path / "run")]) == 2
    assert f"For the images in {root} pass --data folder" in one_line()


class TestBatch:
    @pytest.fixture
    def settled(self, train_dim):
        from types import SimpleNamespace

        from dim_training import resolving, settle

        def run(count, *, size=(32, 32), given=None, **how):
            images = SimpleNamespace(train=SimpleNamespace(pixels=torch.zeros(count, *size, 1)))
            return settle.settle(resolving.resolve({"data": "digits", "out": "unused", **(given or {})}), images, **how)

        return run

    @pytest.mark.parametrize(("count", "batch"), [(256, 256), (255, 64), (180, 64), (10, 4), (4, 2)])
    def test_a_default_shrinks_to_few_images(self, settled, count, batch):
        assert settled(count, shrink=True).batch == batch

    def test_one_that_was_asked_for_does_not(self, settled):
        from dim_training.errors import BadInput

        with pytest.raises(BadInput, match="--batch: expected at most the number of training images"):
            settled(255)

    def test_several_processes_share_it_evenly(self, settled):
        from dim_training.errors import BadInput

        assert settled(200, shrink=True, processes=3).batch == 63
        with pytest.raises(BadInput, match=r"--batch: expected a multiple of the number of processes \(3\)"):
            settled(1000, processes=3)

    @pytest.mark.parametrize(
        ("size", "given", "said"),
        [
            ((32, 48), {}, "--size: expected square images; these have 32 x 48 pixels: pass --size 32"),
            ((32, 32), {"crop": 64}, "--crop: expected at most the 32 pixels of the images; got 64"),
            ((32, 32), {"pad": 40}, "--pad: expected less than the 32 pixels of the images; got 40"),
            ((96, 96), {"crop": 64, "pad": 64}, "--pad: expected less than the 64 pixels of the images; got 64"),
        ],
    )
    def test_crops_and_shifts_fit_the_images(self, settled, size, given, said):
        from dim_training.errors import BadInput

        with pytest.raises(BadInput, match=re.escape(said)):
            settled(300, size=size, given=given)
        assert settled(300, size=(96, 96), given={"crop": 64}).encoder == "conv64"

    def test_the_encoder_gets_its_name(self, settled):
        assert settled(300).encoder == "conv32"


def test_few_test_images_make_a_large_error(train_dim):
    from dim_training.report import with_error

    assert with_error(50.0, 100) == "50.00 ± 4.95"
    assert with_error(100.0, 20) == "100.00 ± 4.44"
    assert with_error(75.2, None) == "75.20"
