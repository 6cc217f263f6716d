"""A lock on a folder. The system releases it when the process that holds it ends in any way."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from .errors import BadInput, unusable

try:
    import fcntl
except ImportError:  # on Windows there is no lock
    fcntl = None


@contextlib.contextmanager
def locked(folder: Path, flag: str = "--out") -> Iterator[None]:
    """Lock ``folder`` inside this context, creating it if necessary; refuse it if another process holds the lock."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise unusable(f"{flag} {folder}", error) from error
    try:
        if fcntl:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.read(descriptor, 200).decode(errors="replace") or "another process"
                raise BadInput(
                    f"{flag} {folder}: expected a folder that no other run is using; {holder} is: wait until it "
                    f"ends, or choose another {flag}"
                ) from error
            except OSError:  # a file system without locks
                pass
        with contextlib.suppress(OSError):  # a full disk: the text is only for the message
            os.truncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        os.close(descriptor)
