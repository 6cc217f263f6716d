"""The images of a run: data sets and folders are read correctly, or refused in one line that names the fault."""

import gzip
import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.filterwarnings("default")  # matplotlib, TensorBoard and torchvision warn


@pytest.fixture
def folder(tmp_path):
    """Write two classes of 24 images each, of 32 x 32 pixels, and return the folder."""
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
    @pytest.fixture
    def read(self, parts):
        return lambda **given: parts.data.load(
            parts.resolving.resolve({"epochs": 1.0, "batch": 8, "out": "unused", **given})
        )

    def test_folder_with_classes(self, read, folder):
        images = read(data="folder", root=str(folder), cache="", holdout=0.25)
        assert images.classes == ("cats", "dogs")
        assert images.train.pixels.shape == (36, 32, 32, 3)
        assert images.train.pixels.dtype == torch.uint8
        assert len(images.test.labels) == 12
        # No held-out image may be in the training set.
        flat = {bytes(image.numpy().tobytes()) for image in images.train.pixels}
        assert not flat & {bytes(image.numpy().tobytes()) for image in images.test.pixels}
        first = np.asarray(Image.open(folder / "cats" / "00.png"))
        everything = torch.cat([images.train.pixels, images.test.pixels]).numpy()
        assert (everything == first).all(axis=(1, 2, 3)).sum() == 1

    def test_flat_folder_has_no_labels(self, read, folder):
        images = read(data="folder", root=str(folder / "cats"), cache="")
        assert not images.has_labels
        assert (images.train.labels == -1).all()

    def test_zip_is_read_as_its_folder(self, read, folder, tmp_path):
        with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
            for path in sorted(folder.rglob("*.png")):
                archive.write(path, path.relative_to(folder))
        one = read(data="folder", root=str(folder), cache="")
        other = read(data="folder", root=str(tmp_path / "images.zip"), cache="")
        assert torch.equal(one.train.pixels, other.train.pixels)
        assert torch.equal(one.train.labels, other.train.labels)

    def test_cache_is_used_until_an_image_changes(self, read, folder, tmp_path):
        cache = tmp_path / "cache"
        given = {"data": "folder", "root": str(folder), "cache": str(cache), "holdout": 0.1}
        read(**given)
        (kept,) = cache.glob("*.pt")
        written = kept.stat().st_mtime_ns
        again = read(**given)
        assert kept.stat().st_mtime_ns == written
        Image.new("RGB", (32, 32)).save(folder / "cats" / "00.png")
        changed = read(**given)
        assert len(list(cache.glob("*.pt"))) == 2
        assert again.fingerprint() != changed.fingerprint()

    def test_folders_that_are_all_named_alike_are_no_classes(self, read, folder):
        """Tiny ImageNet keeps the images of each class in a folder such as n01443537/images."""
        for name in ("cats", "dogs"):
            (folder / name).rename(folder / "images")
            (folder / name).mkdir()
            (folder / "images").rename(folder / name / "images")
        images = read(data="folder", root=str(folder), cache="", holdout=0.25)
        assert images.classes == ("cats", "dogs")
        assert torch.cat([images.train.labels, images.test.labels]).bincount().tolist() == [24, 24]

    def test_size_crops_the_centre_of_wide_images(self, read, tmp_path):
        for number in range(20):
            Image.new("RGB", (90, 60), (number, 0, 0)).save(tmp_path / f"{number}.png")
        images = read(data="folder", root=str(tmp_path), size=28, cache="")
        assert images.train.pixels.shape == (18, 28, 28, 3)

    def test_fashion_mnist_from_its_own_files(self, read, tmp_path):
        generator = np.random.default_rng(0)
        for split, count in (("train", 20), ("t10k", 10)):
            pixels = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            labels = generator.integers(0, 10, count, dtype=np.uint8)
            head = struct.pack(">HBBIII", 0, 8, 3, count, 28, 28)
            (tmp_path / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + pixels.tobytes()))
            head = struct.pack(">HBBI", 0, 8, 1, count)
            (tmp_path / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + labels.tobytes()))
        images = read(data="fashion-mnist", root=str(tmp_path))
        assert images.train.pixels.shape == (20, 28, 28, 1)
        assert np.array_equal(images.test.pixels[..., 0].numpy(), pixels)
        assert np.array_equal(images.test.labels.numpy(), labels)
