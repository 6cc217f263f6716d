"""The exception for errors that a user can correct. The scripts print it as one line, without a traceback."""

import errno

ADVICE = {
    errno.ENOSPC: "make room, then go on with --resume",
    errno.EDQUOT: "make room, then go on with --resume",
    errno.EFBIG: "raise the limit on the size of files, then go on with --resume",
    errno.EACCES: "pass a folder that you may write to",
    errno.EPERM: "pass a folder that you may write to",
    errno.EROFS: "pass a folder on a disk that can be written",
    errno.ENOTDIR: "a part of this path is a file: pass another folder",
    errno.EEXIST: "a part of this path is a file: pass another folder",
    errno.EISDIR: "a folder has this name: remove or rename it",
}


class BadInput(ValueError):  # noqa: N818  (it names what is bad, not what was raised)
    """A file, folder or option cannot be used. The message says which, what was expected and what was given."""


def unusable(path: object, error: OSError) -> BadInput:
    """Return an error with what the system reports about a path, and what to do about it."""
    advice = ADVICE.get(error.errno or 0, "")
    return BadInput(f"{path}: cannot be used: {error.strerror or error}" + (f": {advice}" if advice else ""))
