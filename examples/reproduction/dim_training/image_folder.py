"""Folders of images, or zips of them, decoded once, in parallel, into a uint8 tensor that is cached on disk."""

import hashlib
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .decode import decode, value_range
from .errors import BadInput
from .files import load_sealed, save_sealed
from .image_source import EXTENSIONS, Directory, Zip, is_image
from .lock import locked
from .progress_bar import ProgressBar

FORMAT = 2  # version of the cache
DARK = 64  # of 255; images that use 12 of 16 bits reach only 16


class Folder(NamedTuple):
    """Pixels (N, H, W, C) uint8, labels (N,) and class names; no classes if there is only one folder."""

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]


class Reading(NamedTuple):
    """The options for reading images: ``--size``, ``--value-range``, ``--skip-bad``, ``--cache`` and ``--workers``."""

    size: int = 0
    value_range: str = ""
    skip_bad: bool = False
    cache: str = ""
    workers: int = 4


def read_folder(root: Path, flag: str, how: Reading) -> Folder:
    """Read every image below ``root``; the class of an image is the name of its folder.

    If all images have the same folder name, as in Tiny ImageNet's `n01443537/images/`, the folder above is the class.
    """
    if not root.exists():
        raise BadInput(f"{flag} {root}: expected a folder of images or a .zip of one; there is no such file")
    source = _source(root)
    files = sorted(name for name in source.names() if is_image(name))
    if not files:
        raise BadInput(f"{flag} {root}: expected images ({', '.join(EXTENSIONS)}) in it or its subfolders; found none")
    pixels, kept = _pixels(root, source, files, how)
    if len(kept) < len(files):
        print(
            f"  {flag} {root}: {len(files) - len(kept)} of {len(files)} images left out, since they cannot be decoded"
        )
    if not how.value_range and (brightest := int(pixels.max())) < DARK:
        print(f"  {flag} {root}: the brightest value is {brightest} of 255; 12-bit images need --value-range 0,4095")
    folders = _class_folders([PurePosixPath(files[at]).parent for at in kept])
    classes = tuple(sorted(set(folders)))
    if len(classes) == 1:
        return Folder(pixels, torch.full((len(kept),), -1), ())
    number = {name: at for at, name in enumerate(classes)}
    return Folder(pixels, torch.tensor([number[name] for name in folders]), classes)


def holds_images(root: Path) -> bool:
    """Return whether `read_folder` would find images there."""
    try:
        return root.exists() and any(is_image(name) for name in _source(root).names())
    except BadInput:
        return False


def _source(root: Path) -> Directory | Zip:
    return Zip(root) if root.is_file() else Directory(root)


def _class_folders(parents: list[PurePosixPath]) -> list[str]:
    """Return a folder name per image, from the lowest level at which the names differ.

    If images are at different depths, the name is that of the folder that contains the image.
    """
    levels = [parent.parts for parent in parents]
    depths = {len(level) for level in levels}
    depth = depths.pop() if len(depths) == 1 else 0
    for back in range(1, depth + 1):
        names = [level[-back] for level in levels]
        if len(set(names)) > 1:
            return names
    return [parent.name for parent in parents]


def _pixels(root: Path, source: Directory | Zip, files: list[str], how: Reading) -> tuple[Tensor, list[int]]:
    """Return the pixels and the indices of their files, from an undamaged cache, else decoded and then cached."""
    kept = _cache_file(source, files, how)
    if kept and kept.exists():
        try:
            return load_sealed(kept, mmap=True)
        except BadInput as error:
            print(f"train_dim: {error}; the images are decoded again", file=sys.stderr)
    pixels, good = _decode_all(root, source, files, how)
    if kept:
        try:
            with locked(kept.parent, "--cache"):
                save_sealed(kept, (pixels, good))
        except BadInput as error:
            print(f"train_dim: {error}. The run goes on without a cache", file=sys.stderr)
    return pixels, good


def _cache_file(source: Directory | Zip, files: list[str], how: Reading) -> Path | None:
    if not how.cache:
        return None
    digest = hashlib.sha256(f"{FORMAT} {how.size} {how.value_range} {how.skip_bad}\n".encode())
    for name in files:
        digest.update(f"{source.stamp(name)}\n".encode(errors="surrogateescape"))
    return Path(how.cache) / f"images-{digest.hexdigest()[:16]}.pt"


def _decode_all(root: Path, source: Directory | Zip, files: list[str], how: Reading) -> tuple[Tensor, list[int]]:
    span = value_range(how.value_range)

    def read(name: str) -> np.ndarray | str:
        try:
            return decode(source.read(name), how.size, span)
        except Exception as error:  # noqa: BLE001  (damaged bytes make zip, zlib and Pillow raise every kind)
            return (str(error) or type(error).__name__).split("<_io")[0].strip()

    with warnings.catch_warnings(), ThreadPoolExecutor(max(1, how.workers)) as pool:
        warnings.simplefilter("ignore")  # about large or odd images, which are used if they can be decoded
        decoded = pool.map(read, files)
        try:
            found = list(ProgressBar(decoded, "decoding", total=len(files), unit=" images", leave=False, disable=None))
        except BaseException:  # Ctrl-C must not wait for the images that are left
            pool.shutdown(cancel_futures=True)
            raise
    bad = {source.where(name): said for name, said in zip(files, found, strict=True) if isinstance(said, str)}
    good = [at for at, each in enumerate(found) if not isinstance(each, str)]
    if bad and not (how.skip_bad and good):
        _refuse(bad, len(files))
    arrays = [found[at] for at in good]
    shapes = {array.shape[:2]: files[at] for array, at in zip(arrays, good, strict=True)}
    if len(shapes) > 1:
        (first, first_name), (second, second_name) = list(shapes.items())[:2]
        raise BadInput(
            f"{root}: expected images of one size; {first_name} is {first[0]}x{first[1]} and {second_name} is "
            f"{second[0]}x{second[1]}: pass --size"
        )
    if any(array.ndim == 3 for array in arrays):
        arrays = [a if a.ndim == 3 else np.repeat(a[..., None], 3, axis=2) for a in arrays]
    pixels = torch.from_numpy(np.stack(arrays))
    return (pixels if pixels.ndim == 4 else pixels[..., None]), good


def _refuse(bad: dict[str, str], count: int) -> None:
    """Raise one error that names all files that cannot be decoded."""
    named = "; ".join(f"{name} ({said})" for name, said in bad.items())
    raise BadInput(
        f"expected images that can be decoded; {len(bad)} of {count} cannot: {named}. Repair or remove them, or pass "
        "--skip-bad"
    )
