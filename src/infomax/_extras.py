"""Optional packages: imported by the functions that need them, and by nothing else."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["require"]


def require(module: str, *, package: str, by: str, extra: str) -> ModuleType:
    """Import a module of an optional package, or say how to get it.

    Args:
        module: the module to import.
        package: the name that the package is installed by.
        by: the function that needs it.
        extra: the extra of infomax that holds the package.

    Raises:
        ImportError: the package is not installed.

    Example:
        >>> require("no_such_module", package="no-such-package", by="some_measure", extra="evaluation")
        Traceback (most recent call last):
        ...
        ImportError: some_measure needs no-such-package, which is not installed: pip install 'infomax[evaluation]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{by} needs {package}, which is not installed: pip install 'infomax[{extra}]'") from error
