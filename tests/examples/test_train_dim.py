"""examples/reproduction/train_dim.py: a whole run, resumption to the bit, what it says about input it cannot use."""

import gzip
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "reproduction"
SCRIPT = EXAMPLES / "train_dim.py"
pytestmark = pytest.mark.filterwarnings("default")  # of matplotlib, TensorBoard and torchvision


def start(short_run, out, *more):
    command = [
        sys.executable,
        str(SCRIPT),
        *short_run,
        "--out",
        str(out),
        "--checkpoint-every",
        "4",
        "--measures",
        "",
        *more,
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ)


def wait_for_step(process, rows, out, step):
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        table = out / "metrics.csv"
        if table.exists() and any(int(row["step"] or 0) >= step for row in rows(table)):
            return
        time.sleep(0.005)
    raise AssertionError("the run did not get to that step in 400 seconds")


@pytest.mark.parametrize("more", [["--bf16"], pytest.param(["--bf16", "--compile"], marks=pytest.mark.slow)])
def test_half_precision_and_the_compiler(train_dim, short_run, rows, tmp_path, more):
    run = [*short_run, "--train-images", "32", "--epochs", "1", "--measures", ""]
    assert train_dim.main([*run, "--out", str(tmp_path / "run"), *more]) == 0
    written = rows(tmp_path / "run" / "metrics.csv")
    assert written
    assert all(np.isfinite(float(row[name])) for row in written for name in ("loss", "mi") if row[name])


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
        """Its lines run as they stand, and the encoder gets what it got in training: pixels in [-1, 1]."""
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
    def test_the_curve_of_the_loss_has_a_unit_where_the_loss_has_one(self, changed, unit, monkeypatch):
        monkeypatch.syspath_prepend(str(EXAMPLES))
        from dim_training import report

        plain = {"objective": "dim", "estimator": "infonce", "alpha": 0.0, "beta": 1.0, "gamma": 0.0}
        assert report.unit_of_loss(plain | changed) == unit

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
    @pytest.mark.slow
    def test_after_sigkill_the_losses_are_those_of_the_whole_run(
        self, train_dim, short_run, whole, rows, losses, tmp_path
    ):
        out = tmp_path / "killed"
        process = start(short_run, out)
        wait_for_step(process, rows, out, 7)  # in the second epoch, after the checkpoint of step 4 or 5
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        written = losses(out)
        assert 7 <= len(written) < 15
        # The row a kill tears in two must not be taken for a whole one.
        with (out / "metrics.csv").open("a") as file:
            file.write("14,2.8,1")

        assert train_dim.main(["--out", str(out), "--resume"]) == 0
        assert losses(out) == losses(whole)
        assert not list(out.glob("*.partial"))

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

    def test_a_start_that_was_cut_short_can_be_repeated(self, train_dim, short_run, whole, tmp_path, at_step):
        """Between config.json and the first checkpoint there is no run yet, for either command."""
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

    def test_other_images_are_refused(self, train_dim, whole, tmp_path, one_line):
        out = shutil.copytree(whole, tmp_path / "copy")
        config = json.loads((out / "config.json").read_text())
        config["train_images"] = 79
        (out / "config.json").write_text(json.dumps(config))
        assert train_dim.main(["--out", str(out), "--resume"]) == 2
        assert "images" in one_line()

    def test_without_a_run_it_is_refused(self, train_dim, tmp_path, one_line):
        assert train_dim.main(["--out", str(tmp_path / "nothing"), "--resume"]) == 2
        assert "nothing" in one_line()
        assert not (tmp_path / "nothing").exists()


@pytest.fixture
def folder(tmp_path):
    """Two classes of 24 images of 32 pixels."""
    generator = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(24):
            pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number:02}.png")
    return tmp_path / "images"


def refused(train_dim, one_line, tmp_path, root, *more):
    arguments = ["--data", "folder", "--root", str(root), "--batch", "8", "--epochs", "1", *more]
    assert train_dim.main([*arguments, "--cache", "", "--out", str(tmp_path / "run")]) == 2
    return one_line()


class TestBadInput:
    def test_corrupt_image(self, train_dim, folder, tmp_path, one_line):
        (folder / "cats" / "07.png").write_bytes(b"\x89PNG\r\n\x1a\n but then nothing of the kind")
        said = refused(train_dim, one_line, tmp_path, folder)
        assert "cats/07.png" in said
        assert "1 of 48 cannot" in said
        assert "--skip-bad" in said

    def test_truncated_image(self, train_dim, folder, tmp_path, one_line):
        whole = (folder / "dogs" / "03.png").read_bytes()
        (folder / "dogs" / "03.png").write_bytes(whole[: len(whole) // 2])
        assert "dogs/03.png" in refused(train_dim, one_line, tmp_path, folder)

    def test_corrupt_image_in_a_zip(self, train_dim, tmp_path, one_line):
        with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
            archive.writestr("cats/0.jpg", b"not a JPEG")
        assert "images.zip/cats/0.jpg" in refused(train_dim, one_line, tmp_path, tmp_path / "images.zip")

    def test_empty_folder(self, train_dim, tmp_path, one_line):
        (tmp_path / "empty" / "inner").mkdir(parents=True)
        (tmp_path / "empty" / "notes.txt").write_text("no image")
        said = refused(train_dim, one_line, tmp_path, tmp_path / "empty")
        assert str(tmp_path / "empty") in said
        assert "found none" in said

    def test_missing_folder(self, train_dim, tmp_path, one_line):
        assert "there is no" in refused(train_dim, one_line, tmp_path, tmp_path / "nowhere")

    def test_file_that_is_no_zip(self, train_dim, tmp_path, one_line):
        (tmp_path / "images.tar").write_bytes(b"something else")
        assert "images.tar" in refused(train_dim, one_line, tmp_path, tmp_path / "images.tar")

    def test_images_of_two_sizes(self, train_dim, folder, tmp_path, one_line):
        Image.new("RGB", (40, 30)).save(folder / "dogs" / "odd.png")
        said = refused(train_dim, one_line, tmp_path, folder)
        assert "30x40" in said
        assert "--size" in said

    def test_size_without_an_encoder(self, train_dim, folder, tmp_path, one_line):
        assert "--size" in refused(train_dim, one_line, tmp_path, folder, "--size", "50")

    def test_fewer_images_than_a_batch(self, train_dim, folder, tmp_path, one_line):
        assert "--batch" in refused(train_dim, one_line, tmp_path, folder, "--batch", "500")

    def test_other_classes_in_the_test_images(self, train_dim, folder, tmp_path, one_line):
        (tmp_path / "test" / "cats").mkdir(parents=True)
        (tmp_path / "test" / "birds").mkdir(parents=True)
        for name in ("cats", "birds"):
            Image.new("RGB", (32, 32)).save(tmp_path / "test" / name / "0.png")
        said = refused(train_dim, one_line, tmp_path, folder, "--test-root", str(tmp_path / "test"))
        assert "birds, dogs" in said

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (["--batch", "1"], "--batch"),
            (["--epochs", "1", "--minutes", "1"], "--epochs/--minutes"),
            (["--beta", "0"], "--alpha/--beta"),
            (["--device", "abacus"], "--device abacus"),
            (["--encoder", "conv99"], "--encoder"),
            (["--data", "cifar10", "--root", "no/such/folder"], "--root no/such/folder"),
            (["--data", "fashion-mnist", "--root", "no/such/folder"], "--root no/such/folder"),
        ],
    )
    def test_options(self, train_dim, tmp_path, one_line, arguments, named):
        assert train_dim.main(["--smoke", "--out", str(tmp_path / "run"), *arguments]) == 2
        assert named in one_line()


class TestData:
    def read(self, train_dim, **given):
        from dim_training import data, options

        return data.load(options.resolve({"epochs": 1.0, "batch": 8, "out": "unused", **given}))

    def test_folder_with_classes(self, train_dim, folder):
        images = self.read(train_dim, data="folder", root=str(folder), cache="", holdout=0.25)
        assert images.classes == ("cats", "dogs")
        assert images.train.pixels.shape == (36, 32, 32, 3)
        assert images.train.pixels.dtype == torch.uint8
        assert len(images.test.labels) == 12
        # Held out means in one of the two only.
        flat = {bytes(image.numpy().tobytes()) for image in images.train.pixels}
        assert not flat & {bytes(image.numpy().tobytes()) for image in images.test.pixels}
        first = np.asarray(Image.open(folder / "cats" / "00.png"))
        everything = torch.cat([images.train.pixels, images.test.pixels]).numpy()
        assert (everything == first).all(axis=(1, 2, 3)).sum() == 1

    def test_flat_folder_has_no_labels(self, train_dim, folder):
        images = self.read(train_dim, data="folder", root=str(folder / "cats"), cache="")
        assert not images.has_labels
        assert (images.train.labels == -1).all()

    def test_zip_is_read_as_its_folder(self, train_dim, folder, tmp_path):
        with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
            for path in sorted(folder.rglob("*.png")):
                archive.write(path, path.relative_to(folder))
        one = self.read(train_dim, data="folder", root=str(folder), cache="")
        other = self.read(train_dim, data="folder", root=str(tmp_path / "images.zip"), cache="")
        assert torch.equal(one.train.pixels, other.train.pixels)
        assert torch.equal(one.train.labels, other.train.labels)

    def test_cache_is_used_until_an_image_changes(self, train_dim, folder, tmp_path):
        cache = tmp_path / "cache"
        given = {"data": "folder", "root": str(folder), "cache": str(cache), "holdout": 0.1}
        self.read(train_dim, **given)
        (kept,) = cache.glob("*.pt")
        written = kept.stat().st_mtime_ns
        again = self.read(train_dim, **given)
        assert kept.stat().st_mtime_ns == written
        Image.new("RGB", (32, 32)).save(folder / "cats" / "00.png")
        changed = self.read(train_dim, **given)
        assert len(list(cache.glob("*.pt"))) == 2
        assert again.fingerprint() != changed.fingerprint()

    def test_folders_that_are_all_named_alike_are_no_classes(self, train_dim, folder):
        """Tiny ImageNet keeps its images in n01443537/images."""
        for name in ("cats", "dogs"):
            (folder / name).rename(folder / "images")
            (folder / name).mkdir()
            (folder / "images").rename(folder / name / "images")
        images = self.read(train_dim, data="folder", root=str(folder), cache="", holdout=0.25)
        assert images.classes == ("cats", "dogs")
        assert torch.cat([images.train.labels, images.test.labels]).bincount().tolist() == [24, 24]

    def test_size_crops_the_centre_of_wide_images(self, train_dim, tmp_path):
        for number in range(20):
            Image.new("RGB", (90, 60), (number, 0, 0)).save(tmp_path / f"{number}.png")
        images = self.read(train_dim, data="folder", root=str(tmp_path), size=28, cache="")
        assert images.train.pixels.shape == (18, 28, 28, 3)

    def test_fashion_mnist_from_its_own_files(self, train_dim, tmp_path):
        generator = np.random.default_rng(0)
        for split, count in (("train", 20), ("t10k", 10)):
            pixels = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            labels = generator.integers(0, 10, count, dtype=np.uint8)
            head = struct.pack(">HBBIII", 0, 8, 3, count, 28, 28)
            (tmp_path / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + pixels.tobytes()))
            head = struct.pack(">HBBI", 0, 8, 1, count)
            (tmp_path / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + labels.tobytes()))
        images = self.read(train_dim, data="fashion-mnist", root=str(tmp_path))
        assert images.train.pixels.shape == (20, 28, 28, 1)
        assert np.array_equal(images.test.pixels[..., 0].numpy(), pixels)
        assert np.array_equal(images.test.labels.numpy(), labels)


class TestAugment:
    @pytest.fixture
    def pixels(self):
        return torch.randint(0, 256, (6, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def test_shifts_and_flips_are_windows_of_the_padded_image(self, train_dim, pixels):
        from dim_training.augment import Augment, to_float

        torch.manual_seed(0)
        views = Augment(pixels, shift=2, flip=True)(torch.arange(6))
        assert views.is_contiguous(memory_format=torch.channels_last)
        padded = np.pad(pixels.numpy(), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
        for view, image in zip(views, padded, strict=True):
            windows = [
                to_float(torch.from_numpy(np.ascontiguousarray(turned[y : y + 8, x : x + 8]))[None])[0]
                for turned in (image, image[:, ::-1])
                for y in range(5)
                for x in range(5)
            ]
            assert any(torch.equal(view, window) for window in windows)

    def test_grey_images_have_equal_channels(self, train_dim, pixels):
        from dim_training.augment import Augment

        views = Augment(pixels, grey=1.0)(torch.arange(6))
        torch.testing.assert_close(views[:, 0], views[:, 2], atol=1e-5, rtol=0)
        assert views.std() > 0.1

    def test_jitter_stays_in_range_and_changes_colours(self, train_dim, pixels):
        from dim_training.augment import Augment, to_float

        views = Augment(pixels, jitter=0.5)(torch.arange(6))
        assert views.abs().max() <= 1
        assert not torch.allclose(views, to_float(pixels), atol=0.05)


def test_schedule(train_dim):
    from dim_training.schedule import factor

    assert factor(0.0, 0.2, "cosine") == pytest.approx(0.04)
    assert factor(0.2, 0.2, "cosine") == pytest.approx(1.0)
    assert factor(0.6, 0.2, "cosine") == pytest.approx(0.5)
    assert factor(0.6, 0.2, "linear") == pytest.approx(0.5)
    assert factor(1.0, 0.2, "linear") == 0.0
    assert factor(0.9, 0.0, "constant") == 1.0
