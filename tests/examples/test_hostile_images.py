"""Image folders from microscopes, broken disks and unknown sources are read correctly, or every bad file is named."""

import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture
def read(train_dim, tmp_path):
    """Return a function that reads the folder, or a file in it, without a cache unless one is given."""
    from dim_training.image_folder import Reading, read_folder

    return lambda name=".", **how: read_folder(tmp_path / name, "--root", Reading(**how))


@pytest.fixture
def refused(train_dim, read):
    """Return a function that reads bad images and returns the error message."""
    from dim_training.errors import BadInput

    def said(*name, **how):
        with pytest.raises(BadInput) as error:
            read(*name, **how)
        return str(error.value)

    return said


def ramp(kind, top):
    """Return 256 evenly spaced values from 0 to ``top``, (16, 16)."""
    return np.linspace(0, top, 256).round().astype(kind).reshape(16, 16)


STEPS = torch.arange(256, dtype=torch.uint8).reshape(16, 16)


class TestDepth:
    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_16_bits_are_scaled(self, read, tmp_path, suffix):
        Image.fromarray(ramp(np.uint16, 65535)).save(tmp_path / f"a.{suffix}")
        assert torch.equal(read().pixels[0, ..., 0], STEPS)

    def test_16_bits_in_a_pgm(self, read, tmp_path):
        (tmp_path / "a.pgm").write_bytes(b"P5 16 16 65535\n" + ramp(">u2", 65535).tobytes())
        assert torch.equal(read().pixels[0, ..., 0], STEPS)

    def test_12_bits_stored_in_16_are_dark_until_the_range_is_said(self, read, tmp_path, capsys):
        Image.fromarray(ramp(np.uint16, 4095)).save(tmp_path / "a.png")
        assert read().pixels.max() == 16
        assert "--value-range 0,4095" in capsys.readouterr().out
        assert torch.equal(read(value_range="0,4095").pixels[0, ..., 0], STEPS)

    @pytest.mark.parametrize(
        ("kind", "said"), [(np.int32, "32-bit whole numbers from 0 to 510"), (np.float32, "floats")]
    )
    def test_numbers_without_a_known_range_need_one(self, read, refused, tmp_path, kind, said):
        Image.fromarray(ramp(kind, 510)).save(tmp_path / "a.tif")
        message = refused()
        assert "a.tif" in message
        assert said in message
        assert "--value-range LOW,HIGH" in message
        assert torch.equal(read(value_range="0,510").pixels[0, ..., 0], STEPS)

    def test_values_that_are_none(self, refused, tmp_path):
        Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "a.tif")
        assert "not finite" in refused(value_range="0,1")

    @pytest.mark.parametrize("text", ["1", "3,2", "a,b", "0,inf", "1,2,3"])
    def test_a_range_that_is_none(self, refused, tmp_path, text):
        Image.fromarray(ramp(np.uint16, 9)).save(tmp_path / "a.png")
        assert "--value-range: expected LOW,HIGH" in refused(value_range=text)


@pytest.fixture
def six(tmp_path):
    """Write six good images of two classes to the folder `images`."""
    generator = np.random.default_rng(0)
    for name in ("cats/0", "cats/1", "cats/2", "dogs/0", "dogs/1", "dogs/2"):
        path = tmp_path / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


def bomb():
    """Return a PNG of about 60 bytes that declares 10^10 pixels."""
    chunks = (b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 9))
    parts = (struct.pack(">I", len(data)) + n + data + struct.pack(">I", zlib.crc32(n + data)) for n, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class TestBadFiles:
    def test_all_are_named_at_once_and_can_be_skipped(self, read, refused, six, capsys):
        whole = (six / "cats" / "1.png").read_bytes()
        (six / "cats" / "1.png").write_bytes(whole[: len(whole) // 2])
        (six / "dogs" / "0.png").write_bytes(bomb())
        (six / "dogs" / "1.png").write_bytes(b"")
        (six / "dogs" / "gone.png").symlink_to(six / "nowhere")
        os.mkfifo(six / "cats" / "pipe.png")
        said = refused("images")
        for name in ("cats/1.png", "dogs/0.png", "dogs/1.png", "dogs/gone.png", "cats/pipe.png"):
            assert name in said
        assert "5 of 8" in said
        assert "decompression bomb" in said
        assert "--skip-bad" in said
        left = read("images", skip_bad=True)
        assert left.labels.tolist() == [0, 0, 1]
        assert left.classes == ("cats", "dogs")
        assert "5 of 8 images left out" in capsys.readouterr().out

    def test_many_are_named(self, refused, six):
        for number in range(60):
            (six / "cats" / f"damaged-{number}.png").write_bytes(b"nothing")
        said = refused("images")
        assert "60 of 66" in said
        assert said.count("damaged-") == 60

    def test_none_that_is_good(self, refused, six):
        for path in six.rglob("*.png"):
            path.write_bytes(b"nothing")
        assert "6 of 6" in refused("images", skip_bad=True)

    def test_a_damaged_zip(self, read, refused, six, tmp_path):
        """A file that does not decompress, an encrypted file and an unknown method are each named."""
        with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(six.rglob("*.png")):
                archive.write(path, path.relative_to(six))
            infos = {info.filename: info for info in archive.infolist()}
        raw = bytearray((tmp_path / "images.zip").read_bytes())
        start = infos["cats/1.png"].header_offset + 30 + len("cats/1.png")
        raw[start : start + 8] = b"\xff" * 8
        for name, at, value in (("dogs/0.png", 8, 1), ("dogs/2.png", 10, 97)):
            entry = raw.find(name.encode(), infos["dogs/2.png"].header_offset + 60) - 46
            raw[entry + at] = value
            raw[infos[name].header_offset + at - 2] = value
        (tmp_path / "images.zip").write_bytes(raw)
        said = refused("images.zip")
        for name, why in (("cats/1.png", "decompress"), ("dogs/0.png", "encrypted"), ("dogs/2.png", "not supported")):
            assert name in said
            assert why in said
        assert len(read("images.zip", skip_bad=True).labels) == 3

    def test_a_file_that_unpacks_to_too_much(self, refused, tmp_path, monkeypatch):
        from dim_training import image_source

        monkeypatch.setattr(image_source, "LARGEST", 1000)
        with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.png", b"\0" * 1001)
        assert "a.png (1,001 bytes" in refused("images.zip")

    def test_links_that_lead_round_in_a_circle_are_followed_once(self, parts, tmp_path):
        for name, other in (("a", "b"), ("b", "a")):
            (tmp_path / name).mkdir()
            (tmp_path / name / f"{name}.png").touch()
            (tmp_path / name / "link").symlink_to(tmp_path / other)
        names = sorted(parts.image_source.Directory(tmp_path).names())
        assert names == ["a/a.png", "a/link/b.png", "b/b.png", "b/link/a.png"]

    def test_a_link_that_leads_back_is_not_followed(self, read, six):
        (six / "cats" / "up").symlink_to(six)
        (six / "dogs" / "same").symlink_to(six / "dogs")
        assert len(read("images").labels) == 6


class TestCache:
    def test_a_damaged_one_is_made_again(self, read, six, tmp_path, capsys):
        first = read("images", cache=str(tmp_path / "cache"))
        (kept,) = (tmp_path / "cache").glob("*.pt")
        whole = kept.read_bytes()
        for damaged in (whole[: len(whole) // 2], whole[:400] + bytes([whole[400] ^ 1]) + whole[401:], b""):
            kept.write_bytes(damaged)
            again = read("images", cache=str(tmp_path / "cache"))
            assert torch.equal(first.pixels, again.pixels)
            assert kept.read_bytes() == whole
            assert "the images are decoded again" in capsys.readouterr().err

    def test_a_full_disk_costs_the_cache_only(self, read, six, tmp_path, full_disk, capsys):
        full_disk("images-")
        assert len(read("images", cache=str(tmp_path / "cache")).labels) == 6
        assert "without a cache" in capsys.readouterr().err
        assert not list((tmp_path / "cache").glob("images*"))

    def test_a_place_that_cannot_be_written_costs_the_cache_only(self, read, six, tmp_path, capsys):
        assert len(read("images", cache=str(six / "cats" / "0.png" / "cache")).labels) == 6
        assert "without a cache" in capsys.readouterr().err
