"""Files that are written whole or not at all, and tensors whose checksum is verified before they are loaded."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from .errors import BadInput, unusable

SEAL = b"infomax sha256 "  # at the end of a file, then the digest of all bytes before it; torch.load ignores both
CHECKSUM = "checksum"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that replaces ``path`` in one step, once it is whole and on the disk."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            raise unusable(path, error) from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a small text file in UTF-8; characters that it cannot encode, as in damaged file names, are escaped."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, content: Any) -> None:
    """Write plain values as JSON."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_checked_json(path: Path, content: dict[str, Any]) -> None:
    """Write plain values as JSON, with their checksum under the last key."""
    write_json(path, {**content, CHECKSUM: _checksum(content)})


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file without its checksum, which must be right if there is one."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise unusable(path, error) from error
    try:
        content = json.loads(raw)
    except ValueError as error:  # also for bytes that are not UTF-8
        came = f"damaged JSON ({error})" if raw.strip() else "an empty file"
        raise BadInput(f"{path}: expected what a run wrote there; got {came}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path}: expected what a run wrote there; got a {type(content).__name__}")
    checksum = content.pop(CHECKSUM, None)  # config.json and results of earlier versions have none
    if checksum not in (None, _checksum(content)):
        raise BadInput(f"{path}: expected what a run wrote there; its checksum is wrong, so it is damaged")
    return content


class _Digesting:
    """The file that `torch.save` writes to. It keeps the first error, since `torch.save` cannot report a full disk."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.error is None:
            try:
                self.file.write(data)
                self.digest.update(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        """Do nothing: `torch.save` needs this method, and `replacing` flushes the file."""


def save_sealed(path: Path, content: Any) -> None:
    """Save with `torch.save`, whole or not at all, with a checksum at the end of the file."""
    with replacing(path) as file:
        to = _Digesting(file)
        torch.save(content, to)
        if to.error:
            raise to.error
        file.write(SEAL + to.digest.digest())


def load_sealed(path: Path, *, mmap: bool = False) -> Any:
    """Load what `save_sealed` wrote: tensors and plain values only, so no code can run. Refuse a damaged file."""
    try:
        _check_seal(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except OSError as error:
        raise unusable(path, error) from error
    except BadInput:
        raise
    except Exception as error:  # torch raises many kinds for contents that it refuses
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"{path}: expected tensors and plain values; got: {said}") from error


def _check_seal(path: Path) -> None:
    with path.open("rb") as file:
        body = os.fstat(file.fileno()).st_size - len(SEAL) - 32
        digest, left = hashlib.sha256(), max(0, body)
        while left and (part := file.read(min(left, 1 << 20))):
            digest.update(part)
            left -= len(part)
        seal = file.read()
    if body < 0 or not seal.startswith(SEAL):
        raise BadInput(f"{path}: expected a whole file; this one was cut short, or another program made it")
    if seal != SEAL + digest.digest():
        raise BadInput(f"{path}: expected a whole file; its checksum is wrong, so it is damaged")
