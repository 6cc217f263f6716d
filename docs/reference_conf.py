"""The reference: signatures that read, with the names that the code gives to its long types."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

ALIASES = (
    "ArrayLike", "Axes", "CriticLike", "Data", "EstimatorLike", "Gather", "Progress", "RandomState", "Values",
)  # fmt: skip


def _aliases_by_name(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Show `Alias | None` like `Alias`: Sphinx writes its own wrapper where an alias is a part of a union."""
    if signature is None or "TypeAliasForwardRef" not in signature:
        return None
    return re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", signature), returns


def setup(app: Sphinx) -> dict[str, bool]:
    """Show an alias of a type by its name, not as the union that it stands for."""
    app.config.autodoc_type_aliases = {name: name for name in ALIASES}
    app.connect("autodoc-process-signature", _aliases_by_name)
    return {"parallel_read_safe": True}
