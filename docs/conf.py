"""Settings of the documentation site; built by `make docs`, with warnings as errors and without a network."""

from importlib.metadata import version as installed_version

project = "infomax"
author = "The infomax authors"
copyright = "The infomax authors"
version = release = installed_version("infomax")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",  # formulas without a content delivery network
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# The front page and the guides of the repository are pages of the site too; their links name files.
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# Other projects' pages are out of reach of a build without a network, so their names cannot become links.
nitpick_ignore_regex = [
    (r"py:.*", r"(torch|nn|np|numpy|sklearn|collections|pathlib|contextlib|typing|PIL)(\..*)?"),
    (r"py:.*", r"(Tensor|Module|Generator|Callable|Iterable|Iterator|Sequence|Mapping|Path|optional)"),
]

html_theme = "furo"
html_title = f"infomax {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
templates_path: list[str] = []
