"""examples/reproduction/train_dim.py: a whole run, exact resumption, refusal of other settings and other images."""

import json
import os
import pkgutil
import shutil
import signal

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("default")  # matplotlib, TensorBoard and torchvision warn


@pytest.mark.parametrize("more", [["--bf16"], pytest.param(["--bf16", "--compile"], marks=pytest.mark.slow)])
def test_half_precision_and_the_compiler(train_dim, short_run, rows, tmp_path, more):
    run = [*short_run, "--train-images", "32", "--epochs", "1", "--measures", ""]
    assert train_dim.main([*run, "--out", str(tmp_path / "run"), *more]) == 0
    written = rows(tmp_path / "run" / "metrics.csv")
    assert written
    assert all(np.isfinite(float(row[name])) for row in written for name in ("loss", "mi") if row[name])


@pytest.mark.parametrize(
    ("flags", "gpu", "fast"),
    [
        ("fma avx2 avx512f", False, False),
        ("avx512f avx512_bf16", False, True),
        ("amx_bf16 amx_tile", False, True),
        ("avx512_bf16", True, False),
        (None, False, False),
    ],
)
def test_bf16_is_chosen_by_the_processor(parts, monkeypatch, tmp_path, flags, gpu, fast):
    is_fast = parts.recipes.bf16_is_fast  # its module chooses when it is imported, so it must not see the next line
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : fpu {flags}\n")
    assert is_fast(tmp_path / "cpuinfo") is fast


def test_recipes_take_it_and_the_papers_does_not(parts):
    fast = parts.recipes.bf16_is_fast()
    assert {name: recipe.get("bf16") for name, recipe in parts.recipes.RECIPES.items()} == {
        "fast": fast,
        "two-maps": fast,
        "paper": None,
    }


def test_processes_on_unlike_processors_are_refused(parts, monkeypatch, tmp_path):
    small = {"data": "digits", "train_images": 40, "test_images": 20, "batch": 8, "epochs": 1.0, "device": "cpu"}
    options = parts.resolving.resolve({**small, "out": str(tmp_path / "run")})
    team = parts.team.Team()
    monkeypatch.setattr(team, "of_all", lambda value: [value, not value] if isinstance(value, bool) else [value])
    with pytest.raises(parts.errors.BadInput, match="--bf16: expected the same in every process"):
        parts.session.conduct(options, team)


@pytest.mark.parametrize("bf16", [True, False])
def test_a_run_in_bf16_says_so(train_dim, short_run, tmp_path, capsys, bf16):
    run = [*short_run, "--train-images", "32", "--epochs", "1", "--measures", "", "--out", str(tmp_path / "run")]
    assert train_dim.main([*run, "--bf16" if bf16 else "--no-bf16"]) == 0
    assert ("the step runs in bfloat16; --no-bf16 trains in float32" in capsys.readouterr().out) is bf16


class TestRun:
    def test_folder_holds_everything(self, whole, rows):
        for name in (
            "config.json",
            "metrics.csv",
            "probes.csv",
            "checkpoint.pt",
            "encoder.pt",
            "encoder.json",
            "results.json",
        ):
            assert (whole / name).stat().st_size > 0
        assert list((whole / "tensorboard").glob("events.*"))
        assert not list(whole.glob("*.partial"))
        assert [row["step"] for row in rows(whole / "metrics.csv")] == [str(step) for step in range(1, 16)]
        assert {row["step"] for row in rows(whole / "probes.csv")} == {"0", "5", "10", "15"}

    def test_the_report_says_how_to_load_the_encoder(self, whole, monkeypatch):
        """The code in the report runs unchanged and gives the encoder the input of its training, pixels in [-1, 1]."""
        from dim_training.augment import to_float

        monkeypatch.chdir(whole)
        code = (whole / "report.md").read_text().split("```python")[1].split("```")[0]
        found = {}
        exec(code, found)
        trained_on = to_float(found["images"].to(torch.uint8).permute(0, 2, 3, 1))
        torch.testing.assert_close(found["x"], trained_on)
        saved = torch.load("checkpoint.pt", weights_only=True)["model"]
        for name, value in found["encoder"].state_dict().items():
            assert torch.equal(value, saved[f"encoder.{name}"])
        assert found["y"].shape == (2, 64)

    def test_that_code_refuses_damaged_weights(self, whole, tmp_path, monkeypatch):
        """`torch.load` does not notice a flipped bit in a tensor."""
        code = (whole / "report.md").read_text().split("```python")[1].split("```")[0]
        weights = bytearray((whole / "encoder.pt").read_bytes())
        weights[len(weights) // 2] ^= 1
        (tmp_path / "encoder.pt").write_bytes(weights)
        (tmp_path / "encoder.json").write_bytes((whole / "encoder.json").read_bytes())
        monkeypatch.chdir(tmp_path)
        torch.load("encoder.pt", weights_only=True)
        with pytest.raises(AssertionError, match=r"encoder\.pt is damaged"):
            exec(code, {})

    def test_what_was_left_open_is_in_the_config(self, whole):
        config = json.loads((whole / "config.json").read_text())
        assert config["encoder"] == "conv32"
        card = json.loads((whole / "encoder.json").read_text())
        assert (card["encoder"], card["input_channels"], card["input_size"], card["global_dim"]) == (
            "conv32",
            1,
            32,
            64,
        )
        assert "127.5" in card["input"]

    def test_results(self, whole):
        results = json.loads((whole / "results.json").read_text())
        for name in ("trained", "untrained"):
            assert set(results["probes"][name]) == {"conv", "fc", "y"}
        assert results["training"]["steps"] == 15
        assert results["training"]["mi_ceiling"] == pytest.approx(np.log1p(15 * 8))

    @pytest.mark.parametrize(
        ("changed", "unit"),
        [
            ({}, "nats"),
            ({"estimator": "dv"}, "nats"),
            ({"estimator": "jsd"}, ""),
            ({"gamma": 0.1}, ""),
            ({"alpha": 1.0}, ""),
            ({"coordinates": 1.0}, ""),
            ({"objective": "supervised"}, ""),
        ],
        ids=str,
    )
    def test_the_curve_of_the_loss_has_a_unit_where_the_loss_has_one(self, changed, unit, parts):
        plain = {"objective": "dim", "estimator": "infonce", "alpha": 0.0, "beta": 1.0, "gamma": 0.0}
        assert parts.report.unit_of_loss(plain | changed) == unit

    def test_report_holds_its_pictures(self, whole):
        page = (whole / "report.html").read_text()
        assert page.count("data:image/png;base64,") == 4
        for line in (whole / "report.md").read_text().splitlines():
            if line.startswith("!["):
                assert (whole / line.split("(")[1].rstrip(")")).stat().st_size > 10_000
        assert "untrained" in page
        assert "DIM(L) InfoNCE" in page
        assert " ± " in page

    def test_folder_in_use_is_refused(self, train_dim, short_run, whole, one_line):
        assert train_dim.main([*short_run, "--out", str(whole)]) == 2
        assert "--resume" in one_line()


class TestResume:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_after_a_signal_a_checkpoint_of_that_step_is_there(
        self, train_dim, short_run, whole, losses, tmp_path, capsys, at_step, number
    ):
        out = tmp_path / "interrupted"
        at_step(7, lambda: os.kill(os.getpid(), number))
        assert train_dim.main([*short_run, "--measures", "", "--out", str(out)]) == 128 + number
        assert "--resume" in capsys.readouterr().err.splitlines()[-1]
        assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] == 8
        if number == signal.SIGINT:
            assert train_dim.main(["--out", str(out), "--resume"]) == 0
            assert losses(out) == losses(whole)

    @pytest.mark.parametrize("part", ["checkpoint.write", "probes.probe", "log.Log.close"])
    def test_a_signal_after_the_last_step_stops_the_run_too(
        self, train_dim, short_run, whole, losses, tmp_path, monkeypatch, part
    ):
        """Such a signal was dropped: the final probes ran to their end, with exit code 0."""
        out, sent = tmp_path / "interrupted", []
        work = pkgutil.resolve_name(f"dim_training.{part}")

        def interrupted(*given):
            if (out / "metrics.csv").exists() and len(losses(out)) == 15:
                sent.append(os.kill(os.getpid(), signal.SIGTERM))
            return work(*given)

        with monkeypatch.context() as patch:
            patch.setattr(f"dim_training.{part}", interrupted)
            run = [*short_run, "--measures", "", "--quick-probes", "3", "--out", str(out)]
            assert train_dim.main(run) == 128 + signal.SIGTERM
        assert len(sent) == 1
        assert not (out / "encoder.pt").exists()
        assert train_dim.main(["--out", str(out), "--resume"]) == 0
        assert losses(out) == losses(whole)

    def test_a_start_that_was_cut_short_can_be_repeated(self, train_dim, short_run, whole, tmp_path, at_step):
        """A folder with config.json but without a checkpoint holds no run yet, so both commands start one."""
        for more in ([*short_run, "--max-steps", "1"], ["--resume"]):
            out = tmp_path / more[-1]
            out.mkdir()
            config = json.loads((whole / "config.json").read_text()) | {"out": str(out), "max_steps": 1, "measures": ""}
            (out / "config.json").write_text(json.dumps(config))
            assert train_dim.main([*more, "--measures", "", "--out", str(out)]) == 0
            assert (out / "encoder.pt").exists()

    def test_other_settings_are_refused(self, train_dim, whole, one_line):
        assert train_dim.main(["--out", str(whole), "--resume", "--lr", "0.5", "--batch", "32"]) == 2
        said = one_line()
        assert "--lr 0.5 (the run has 0.003)" in said
        assert "--batch 32 (the run has 16)" in said

    def test_other_images_are_refused(self, train_dim, parts, whole, tmp_path, one_line):
        out = shutil.copytree(whole, tmp_path / "copy")
        state = parts.files.load_sealed(out / "checkpoint.pt")
        parts.files.save_sealed(out / "checkpoint.pt", state | {"images": "79x8x8x1-others"})
        assert train_dim.main(["--out", str(out), "--resume"]) == 2
        assert "expected the images the run was begun with (79x8x8x1-others)" in one_line()

    def test_without_a_run_it_is_refused(self, train_dim, tmp_path, one_line):
        assert train_dim.main(["--out", str(tmp_path / "nothing"), "--resume"]) == 2
        assert "nothing" in one_line()
        assert not (tmp_path / "nothing").exists()


def test_schedule(train_dim):
    from dim_training.schedule import factor

    assert factor(0.0, 0.2, "cosine") == pytest.approx(0.04)
    assert factor(0.2, 0.2, "cosine") == pytest.approx(1.0)
    assert factor(0.6, 0.2, "cosine") == pytest.approx(0.5)
    assert factor(0.6, 0.2, "linear") == pytest.approx(0.5)
    assert factor(1.0, 0.2, "linear") == 0.0
    assert factor(0.9, 0.0, "constant") == 1.0


def test_a_length_of_0_leaves_the_other_length_as_it_is(parts):
    """The help says so, but ``--epochs 0`` trained nothing and was reported as a training."""
    resolve = parts.resolving.resolve
    assert (resolve({"epochs": 0.0}).minutes, resolve({"epochs": 3.0}).minutes) == (20.0, 0.0)
    assert (resolve({"recipe": "paper", "minutes": 0.0}).epochs, resolve({"recipe": "paper"}).epochs) == (
        1000.0,
        1000.0,
    )
    nothing = resolve({"epochs": 0.0, "minutes": 0.0})
    assert (nothing.epochs, nothing.minutes) == (0.0, 0.0)
    assert parts.report.name_of(vars(nothing)) == "not trained"


@pytest.mark.parametrize("size", [0, 28])
def test_validation_images_are_left_out_of_the_training(parts, size):
    """The validation images are the same for every seed. They are left out also if images are resized."""
    whole, cut, other = (
        parts.data.load(parts.resolving.resolve({"data": "digits", "size": size, "validation": count, "seed": seed}))
        for count, seed in ((0, 0), (100, 0), (100, 1))
    )
    assert torch.equal(cut.test.pixels, other.test.pixels)
    assert len(cut.test.labels) == 100
    assert len(cut.train.labels) == len(cut.labelled.labels) == len(whole.train.labels) - 100
    for images in (cut.train, cut.labelled):
        together = torch.cat([images.pixels, cut.test.pixels]).flatten(1)
        assert torch.equal(together.sort(0).values, whole.train.pixels.flatten(1).sort(0).values)
    with pytest.raises(parts.errors.BadInput, match="--validation: expected at most 1398, of 1400 labelled images"):
        parts.data.load(parts.resolving.resolve({"data": "digits", "validation": 1399}))
