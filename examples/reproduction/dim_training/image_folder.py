"""Any folder of images, or a zip of one: decoded once, in parallel, into a uint8 tensor that is kept on disk."""

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

from .errors import BadInput

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class Folder(NamedTuple):
    """Pixels (N, H, W, C) uint8, labels (N,) and class names; no classes where images lie flat."""

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]


def read_folder(root: Path, flag: str, size: int = 0, cache: str = "", workers: int = 4) -> Folder:
    """Read every image below ``root``; the folder an image lies in is its class.

    Where that folder has one name everywhere, as in Tiny ImageNet's `n01443537/images/`, the one above it is.
    """
    source = _Zip(root) if root.is_file() else _Directory(root)
    if not root.exists():
        raise BadInput(f"{flag} {root}: expected a folder of images or a .zip of one; there is no such file")
    files = sorted(name for name in source.names() if _is_image(name))
    if not files:
        raise BadInput(f"{flag} {root}: expected images ({', '.join(EXTENSIONS)}) in it or its subfolders; found none")
    folders = _class_folders([PurePosixPath(name).parent for name in files])
    classes = tuple(sorted(set(folders)))
    labels = torch.tensor([classes.index(f) for f in folders] if len(classes) > 1 else [-1] * len(files))
    if len(classes) == 1:
        classes = ()

    kept = _cache_file(cache, source, files, size)
    if kept and kept.exists():
        return Folder(torch.load(kept, weights_only=True, mmap=True), labels, classes)
    pixels = _decode_all(root, source, files, size, workers)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}.partial")
        torch.save(pixels, partial)
        partial.replace(kept)
    return Folder(pixels, labels, classes)


def _class_folders(parents: list[PurePosixPath]) -> list[str]:
    """The name of the lowest folder, the same level for all, in which images differ."""
    levels = [parent.parts for parent in parents]
    depths = {len(level) for level in levels}
    depth = depths.pop() if len(depths) == 1 else 0
    for back in range(1, depth + 1):
        names = [level[-back] for level in levels]
        if len(set(names)) > 1:
            return names
    return [parent.name for parent in parents]


class _Directory:
    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> Iterator[str]:
        for folder, _, names in os.walk(self.root, followlinks=True):
            for name in names:
                yield (Path(folder) / name).relative_to(self.root).as_posix()

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def stamp(self, name: str) -> str:
        stat = (self.root / name).stat()
        return f"{name}:{stat.st_size}:{stat.st_mtime_ns}"

    def where(self, name: str) -> str:
        return str(self.root / name)


class _Zip:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise BadInput(f"{path}: expected a folder of images or a .zip of one; got: {error}") from error

    def names(self) -> Iterator[str]:
        return (name for name in self.archive.namelist() if not name.endswith("/"))

    def read(self, name: str) -> bytes:
        return self.archive.read(name)

    def stamp(self, name: str) -> str:
        info = self.archive.getinfo(name)
        return f"{name}:{info.file_size}:{info.CRC}"

    def where(self, name: str) -> str:
        return f"{self.path}/{name}"


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = path.name.startswith(".") or "__MACOSX" in path.parts
    return not hidden and path.suffix.lower() in EXTENSIONS


def _cache_file(cache: str, source: _Directory | _Zip, files: list[str], size: int) -> Path | None:
    if not cache:
        return None
    digest = hashlib.sha256(f"1 {size}\n".encode())
    for name in files:
        digest.update(f"{source.stamp(name)}\n".encode())
    return Path(cache) / f"images-{digest.hexdigest()[:16]}.pt"


def _decode_all(root: Path, source: _Directory | _Zip, files: list[str], size: int, workers: int) -> Tensor:
    def decode(name: str) -> np.ndarray:
        try:
            with Image.open(io.BytesIO(source.read(name))) as image:
                grey = image.mode in ("1", "L", "I;16")
                image = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, zipfile.BadZipFile) as error:
            said = str(error).split("<_io")[0].strip()
            raise BadInput(
                f"{source.where(name)}: expected an image that can be decoded; got: {said}. "
                "Repair the file or take it away"
            ) from error
        if size:
            image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
        return np.asarray(image)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        decoded = pool.map(decode, files)
        try:
            arrays = list(tqdm(decoded, "decoding", total=len(files), unit=" images", leave=False, disable=None))
        except BadInput:
            pool.shutdown(cancel_futures=True)
            raise
    shapes = {array.shape[:2]: name for array, name in zip(arrays, files, strict=True)}
    if len(shapes) > 1:
        (first, first_name), (second, second_name) = list(shapes.items())[:2]
        raise BadInput(
            f"{root}: expected images of one size; {first_name} is {first[0]}x{first[1]} and {second_name} is "
            f"{second[0]}x{second[1]}: pass --size"
        )
    if any(array.ndim == 3 for array in arrays):
        arrays = [a if a.ndim == 3 else np.repeat(a[..., None], 3, axis=2) for a in arrays]
    pixels = torch.from_numpy(np.stack(arrays))
    return pixels if pixels.ndim == 4 else pixels[..., None]
