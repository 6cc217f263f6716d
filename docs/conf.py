"""Settings of the documentation site; built by `make docs`, with warnings as errors and without a network."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

sys.path.append(str(Path(__file__).parent))  # of gallery_conf.py

project = "infomax"
author = "The infomax authors"
copyright = "The infomax authors"
version = release = installed_version("infomax")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "gallery_conf",  # the examples, by sphinx-gallery
    "reference_conf",  # signatures that read
    "sphinx-mathjax-offline",  # formulas without a content delivery network
]
exclude_patterns = ["results", "figures", "_build"]
default_role = "literal"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
strip_signature_backslash = True  # or `global_` in a list of arguments loses its underscore
napoleon_custom_sections = ["Numerics", "Shapes", "Source"]

# Other projects' pages are out of reach of a build without a network, so their names cannot become links.
nitpick_ignore_regex = [
    (r"py:.*", r"(torch|nn|dist|np|numpy|sklearn|collections|pathlib|contextlib|os|typing|PIL)(\..*)?"),
    (r"py:.*", r"(infomax\.scores\.ring\.Groups|infomax\.pairs\.guard\.Guard|Guard)"),
    (r"py:.*", r"(ArrayLike|Groups|CriticLike|EstimatorLike|RandomState|Values|Axes|Gather)"),
    (r"py:.*", r"(Tensor|Module|Generator|Callable|Iterable|Iterator|Sequence|Mapping|Path|optional)"),
]

html_theme = "furo"
html_title = f"infomax {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sphinx = False


def _show_for_both_themes(app: Sphinx, document: nodes.document) -> None:
    """Show ``NAME-dark.png`` on dark pages in the place of ``NAME.png``, where ``docs/figures/theme.py`` made one."""
    folder = Path(app.env.doc2path(app.env.docname)).parent
    for image in list(document.findall(nodes.image)):
        path = Path(image["uri"])
        twin = path.with_name(f"{path.stem}-dark{path.suffix}")
        if (folder / twin).exists():
            dark = image.deepcopy()
            dark["uri"] = twin.as_posix()
            image["classes"].append("only-light")
            dark["classes"].append("only-dark")
            image.parent.insert(image.parent.index(image) + 1, dark)


def _set_off_titles(app: Sphinx, document: nodes.document) -> None:
    """Set the title of a page in italics where a sentence names the page by it."""
    for reference in list(document.findall(pending_xref)):
        if reference["reftype"] == "doc" and not reference["refexplicit"]:
            title = nodes.emphasis()
            reference.replace_self(title)
            title += reference


def _plain_text(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Let docstrings write plainly: `*spatial` starts no emphasis, a colon in an attribute's text names no type."""
    if what in ("attribute", "data") and lines:
        lines.insert(0, "\\")  # an escaped line end: shows nothing, holds no colon
    lines[:] = [re.sub(r"(?<![\\*])\*(?=spatial)", r"\\*", line) for line in lines]


def _no_inherited_signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Show a module without options as one, not with the catch-all constructor of its base."""
    if what == "class" and signature == "(*args: Any, **kwargs: Any)":
        return "()", returns
    return None


def _find_by_last_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Link a bare name, as modules use among themselves, to the one documented object that is called so."""
    if node.get("refdomain") != "py":
        return None
    objects = env.domains.python_domain.objects
    name = node["reftarget"].rpartition(".")[2]
    found = {(entry.docname, entry.node_id) for full, entry in objects.items() if full.rpartition(".")[2] == name}
    if len(found) != 1:
        return None
    ((page, anchor),) = found
    return make_refnode(app.builder, node["refdoc"], page, anchor, content)


def setup(app: Sphinx) -> None:
    """Register what this file adds."""
    app.connect("doctree-read", _show_for_both_themes, priority=400)  # before the images are collected
    app.connect("doctree-read", _set_off_titles)
    app.connect("autodoc-process-docstring", _plain_text, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", _no_inherited_signature)
    app.connect("missing-reference", _find_by_last_name)
