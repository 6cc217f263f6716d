"""Optional packages, imported only inside the functions that need them."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["require"]


def require(module: str, *, package: str, by: str, extra: str) -> ModuleType:
    """Import a module of an optional package, or raise an error that says how to install the package.

    Args:
        module: the module to import.
        package: the name under which the package is installed.
        by: the function that needs the package.
        extra: the extra of infomax that installs the package.

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
