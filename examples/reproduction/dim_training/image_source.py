"""Sources of image files, a folder or a zip: names, bytes, and stamps that change with a file."""

import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from .errors import BadInput

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
LARGEST = 2**30  # bytes of one unpacked file; a larger one is a mistake or a decompression bomb


class Directory:
    """A folder with its subfolders. Links are followed, except those that lead back to a parent folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> Iterator[str]:
        """Yield the paths of all files below the root."""
        trails = {self.root: [os.path.realpath(self.root)]}  # the real folders on the way to each folder
        for folder, inner, names in os.walk(self.root, followlinks=True):
            trail = trails.pop(Path(folder))
            real = {name: os.path.realpath(Path(folder) / name) for name in inner}
            inner[:] = [name for name in inner if not _leads_back(real[name], trail)]
            trails |= {Path(folder) / name: [*trail, real[name]] for name in inner}
            for name in names:
                yield (Path(folder) / name).relative_to(self.root).as_posix()

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        path = self.root / name
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # reading a pipe would wait for ever
            raise ValueError("not a regular file")
        _check_size(about.st_size)
        return path.read_bytes()

    def stamp(self, name: str) -> str:
        """Return a text that changes with the file."""
        try:
            about = (self.root / name).stat()
        except OSError:  # `read` reports it
            return f"{name}:missing"
        return f"{name}:{about.st_size}:{about.st_mtime_ns}"

    def where(self, name: str) -> str:
        """Return the path of a file, for messages."""
        return str(self.root / name)


class Zip:
    """A zip file, which is never unpacked to the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.archive = zipfile.ZipFile(path)
        except Exception as error:  # a damaged zip directory raises many kinds
            raise BadInput(f"{path}: expected a folder of images or a .zip of one; got: {error}") from error

    def names(self) -> Iterator[str]:
        """Return the paths of all files in the zip."""
        return (name for name in dict.fromkeys(self.archive.namelist()) if not name.endswith("/"))

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        _check_size(self.archive.getinfo(name).file_size)
        return self.archive.read(name)

    def stamp(self, name: str) -> str:
        """Return a text that changes with the file."""
        info = self.archive.getinfo(name)
        return f"{name}:{info.file_size}:{info.CRC}"

    def where(self, name: str) -> str:
        """Return the path of a file, for messages."""
        return f"{self.path}/{name}"


def is_image(name: str) -> bool:
    """Return whether a file name is that of an image."""
    path = PurePosixPath(name)
    hidden = path.name.startswith(".") or "__MACOSX" in path.parts
    return not hidden and path.suffix.lower() in EXTENSIONS


def _leads_back(real: str, trail: list[str]) -> bool:
    """Return whether a folder holds one of the folders on the way to it, so that links lead round in a circle."""
    return any(here == real or here.startswith(real.rstrip(os.sep) + os.sep) for here in trail)


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise ValueError(f"{size:,} bytes, more than the {LARGEST:,} that an image may have")
