"""The reference: signatures that read, with the names that the code gives to its long types."""

from __future__ import annotations

from sphinx.application import Sphinx

ALIASES = (
    "ArrayLike", "Axes", "CriticLike", "Data", "EstimatorLike", "Gather", "Progress", "RandomState", "Values",
)  # fmt: skip


def setup(app: Sphinx) -> dict[str, bool]:
    """Show an alias of a type by its name, not as the union that it stands for."""
    app.config.autodoc_type_aliases = {name: name for name in ALIASES}
    return {"parallel_read_safe": True}
