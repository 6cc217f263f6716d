"""Packages of the extra `evaluation`, imported by the measures that need them and by nothing else."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["require"]


def require(module: str, *, package: str, by: str) -> ModuleType:
    """Import a module of an optional package, or say how to get it.

    Args:
        module: the module to import.
        package: what the package is called where it is installed from.
        by: the measure that needs it.

    Raises:
        ImportError: the package is not installed.

    Example:
        >>> require("no_such_module", package="no-such-package", by="some_measure")
        Traceback (most recent call last):
        ...
        ImportError: some_measure needs no-such-package, which is not installed: pip install 'infomax[evaluation]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{by} needs {package}, which is not installed: pip install 'infomax[evaluation]'") from error
