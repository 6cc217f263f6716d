"""Images in memory as uint8 tensors (N, H, W, C), from a data set or a folder."""

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .errors import BadInput
from .image_folder import Reading, holds_images, read_folder
from .options import Options

UNLABELLED = -1


class ImageSet(NamedTuple):
    """Pixels (N, H, W, C) uint8 and labels (N,) int64, -1 where there is none."""

    pixels: Tensor
    labels: Tensor


class Images(NamedTuple):
    """The images of a run: images to learn from, images whose labels a probe may use, and test images."""

    train: ImageSet
    labelled: ImageSet
    test: ImageSet
    classes: tuple[str, ...]

    @property
    def has_labels(self) -> bool:
        """Whether a probe can be trained: there are labelled images of several classes.

        All images of a rare class may be test images, so the names of the classes do not decide it.
        """
        return bool((self.labelled.labels != self.labelled.labels[:1]).any())

    @property
    def lack(self) -> str:
        """The reason for which no probe can be trained, in words."""
        return "the labelled images are of one class" if self.classes else "these images have no labels"

    def fingerprint(self) -> str:
        """Return a digest of the training pixels and labels, to check that a resumed run has the same images."""
        digest = hashlib.sha256(self.train.labels.numpy().tobytes())
        for part in self.train.pixels.split(4096):
            digest.update(part.contiguous().numpy())
        return f"{'x'.join(map(str, self.train.pixels.shape))}-{digest.hexdigest()[:32]}"


def load(options: Options) -> Images:
    """Load the data set that ``options`` name; split off ``--validation``, resize, and keep the requested numbers."""
    readers = {"folder": _folder, "digits": _digits, "fashion-mnist": _fashion_mnist, "stl10": _stl10}
    images = readers.get(options.data, _cifar)(options)
    if options.validation:
        images = _validating(images, options.validation)
    if options.size and options.data != "folder":
        images = images._replace(
            train=_resized(images.train, options.size),
            labelled=_resized(images.labelled, options.size),
            test=_resized(images.test, options.size),
        )
    same = images.labelled is images.train or images.labelled.pixels is images.train.pixels
    train = _some(images.train, options.train_images, options.seed)
    return images._replace(
        train=train,
        labelled=train if same else _some(images.labelled, options.train_images, options.seed),
        test=_some(images.test, options.test_images, options.seed),
    )


def _validating(images: Images, count: int) -> Images:
    """Replace the test images by labelled images, which the other sets then lack; the same ones for every seed."""
    most = len(images.labelled.labels) - 2
    if count > most:
        raise BadInput(f"--validation: expected at most {most}, of {most + 2} labelled images; got {count}")
    order = torch.randperm(most + 2, generator=torch.Generator().manual_seed(0))
    kept, held = (
        ImageSet(images.labelled.pixels[rows], images.labelled.labels[rows]) for rows in (order[count:], order[:count])
    )
    train = kept if images.labelled is images.train else images.train
    return images._replace(train=train, labelled=kept, test=held)


def _folder(options: Options) -> Images:
    root = Path(options.root)
    reading = Reading(options.size, options.value_range, options.skip_bad, options.cache, options.workers)
    train = read_folder(root, "--root", reading)
    if options.test_root:
        test_root = Path(options.test_root)
        test = read_folder(test_root, "--test-root", reading)
        if test.classes != train.classes:
            odd = sorted(set(test.classes) ^ set(train.classes))
            raise BadInput(f"--test-root: expected the classes of --root; these are in one only: {', '.join(odd)}")
        if test.pixels.shape[1:] != train.pixels.shape[1:]:
            raise BadInput(
                f"--test-root: expected images of {_shape(train.pixels)}, as in --root; "
                f"got {_shape(test.pixels)} in {test_root}: pass --size"
            )
        train_set, test_set = ImageSet(train.pixels, train.labels), ImageSet(test.pixels, test.labels)
    else:
        order = torch.randperm(len(train.labels), generator=torch.Generator().manual_seed(options.seed))
        cut = max(1, round(options.holdout * len(order)))
        test_set = ImageSet(train.pixels[order[:cut]], train.labels[order[:cut]])
        train_set = ImageSet(train.pixels[order[cut:]], train.labels[order[cut:]])
    return Images(train_set, train_set, test_set, train.classes)


def _cifar(options: Options) -> Images:
    from torchvision import datasets

    dataset = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[options.data]
    train, test = (_torchvision(dataset, options, train=is_train) for is_train in (True, False))
    return _same_labels(train.data, train.targets, test.data, test.targets, train.classes)


def _stl10(options: Options) -> Images:
    from torchvision import datasets

    parts = {split: _torchvision(datasets.STL10, options, split=split) for split in ("unlabeled", "train", "test")}
    sets = {
        split: ImageSet(
            torch.from_numpy(part.data).permute(0, 2, 3, 1).contiguous(),
            torch.from_numpy(part.labels.astype(np.int64)),
        )
        for split, part in parts.items()
    }
    learnt = sets["train" if options.objective == "supervised" else "unlabeled"]
    return Images(learnt, sets["train"], sets["test"], tuple(parts["train"].classes))


def _fashion_mnist(options: Options) -> Images:
    """Read the original idx files, gzipped or not, from --root itself or from where torchvision keeps them."""
    classes = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
    if options.download:
        from torchvision import datasets

        _torchvision(datasets.FashionMNIST, options, train=True)
    root = Path(options.root)
    for folder in (root, root / "FashionMNIST" / "raw"):
        if any(folder.glob("train-images-idx3-ubyte*")):
            arrays = [
                _idx(folder / f"{split}-{kind}-ubyte")
                for split in ("train", "t10k")
                for kind in ("images-idx3", "labels-idx1")
            ]
            return _same_labels(arrays[0][..., None], arrays[1], arrays[2][..., None], arrays[3], classes)
    raise BadInput(
        f"--root {root}: expected Fashion-MNIST's original files (train-images-idx3-ubyte.gz and three more) there or "
        f"in FashionMNIST/raw under it; got none: pass the folder that holds them, or --download{_own(options.root)}"
    )


def _digits(_: Options) -> Images:
    """Load scikit-learn's 1,797 digits, enlarged from 8 to 32 pixels; they need no download."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = torch.from_numpy(digits.images).mul(255 / 16).to(torch.uint8)[..., None]
    pixels = _resized(ImageSet(pixels, pixels), 32).pixels.numpy()
    order = np.random.default_rng(0).permutation(len(pixels))
    train, test = order[:1400], order[1400:]
    labels = digits.target
    return _same_labels(pixels[train], labels[train], pixels[test], labels[test], "0123456789")


def _same_labels(train_pixels, train_labels, test_pixels, test_labels, classes) -> Images:
    train, test = (
        ImageSet(torch.from_numpy(np.array(x)), torch.from_numpy(np.asarray(y, dtype=np.int64)))
        for x, y in ((train_pixels, train_labels), (test_pixels, test_labels))
    )
    return Images(train, train, test, tuple(classes))


def _torchvision(dataset, options: Options, **split):
    try:
        return dataset(options.root, download=options.download, **split)
    except (RuntimeError, OSError) as error:
        raise BadInput(
            f"--root {options.root}: expected {dataset.__name__} as torchvision keeps it; "
            f"got: {str(error).splitlines()[0]} Pass the folder that holds it, or --download{_own(options.root)}"
        ) from error


def _own(root: str) -> str:
    return f". For the images in {root} pass --data folder" if holds_images(Path(root)) else ""


def _idx(path: Path) -> np.ndarray:
    """Read an idx file: two zero bytes, type 8 (uint8), the number of axes, their lengths, the pixels or labels."""
    gz = path.with_name(path.name + ".gz")
    try:
        raw = gzip.decompress(gz.read_bytes()) if gz.exists() else path.read_bytes()
        axes = raw[3]
        shape = np.frombuffer(raw, ">i4", axes, 4)
        if raw[:3] != b"\0\0\x08":
            raise ValueError("it does not begin with the idx mark 00 00 08")  # noqa: TRY301
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, ValueError, IndexError, EOFError, zlib.error) as error:
        raise BadInput(f"{gz if gz.exists() else path}: expected an idx file of bytes; got: {error}") from error


def _resized(images: ImageSet, size: int) -> ImageSet:
    """Resize to ``size`` x ``size``, a few thousand images at a time, so that there is no float copy of all images."""
    if images.pixels.shape[1:3] == (size, size):
        return images
    parts = [
        torch.nn.functional.interpolate(
            part.permute(0, 3, 1, 2).float(), (size, size), mode="bilinear", antialias=True, align_corners=False
        )
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        .permute(0, 2, 3, 1)
        .contiguous()
        for part in images.pixels.split(4096)
    ]
    return ImageSet(torch.cat(parts), images.labels)


def _some(images: ImageSet, count: int, seed: int) -> ImageSet:
    if not count or count >= len(images.pixels):
        return images
    chosen = torch.randperm(len(images.pixels), generator=torch.Generator().manual_seed(seed))[:count]
    return ImageSet(images.pixels[chosen], images.labels[chosen])


def _shape(pixels: Tensor) -> str:
    return "x".join(map(str, pixels.shape[1:]))
