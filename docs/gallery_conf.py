"""The gallery: which examples run when the site is built, with which options, and what their pages say about it.

`-D gallery_run=full` runs each example as its reader would, `smoke` runs each with `--smoke`, and `no` none. An example
whose data or packages are missing is shown without being run. Every page says which of these happened. An example that
ran keeps its page until the file changes, so that a later build without a run shows the same figures.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import warnings
from hashlib import md5
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError
from sphinx.util import logging

DOCS = Path(__file__).resolve().parent
EXAMPLES, PAGES, RUNS = DOCS.parent / "examples", DOCS / "gallery", DOCS / "_build" / "runs"
RUN_MODES = ("no", "smoke", "full")
DEBIAN = Path("/usr/share")
PLACES = (
    DEBIAN / "datasets/fashion-mnist", DEBIAN / "mricron/templates", DOCS.parent / "data",
    DOCS.parents[1] / "shared" / "data",
)  # fmt: skip

logger = logging.getLogger(__name__)
os.environ.setdefault("TQDM_DISABLE", "1")  # a page holds no progress bars


class Download(NamedTuple):
    """A file that an example reads, and where a reader gets it."""

    file: str
    source: str


_FASHION = Download("train-images-idx3-ubyte.gz", "Fashion-MNIST, Debian's package ``dataset-fashion-mnist``")
_BRAIN = Download("ch2bet.nii.gz", "a scan of a brain and its atlas, Debian's package ``mricron-data``")
_CORA = Download("cora.npz", "the citation graph Cora as a numpy archive; :doc:`/gallery` says how to make it")
_MUTAG = Download("mutag.npz", "the molecules of MUTAG as a numpy archive; :doc:`/gallery` says how to make it")
DOWNLOADS = {
    "graph_nodes": _CORA, "graph_sets": _MUTAG, "graph_views": _CORA, "two_towers": _FASHION, "vision_resnet": _FASHION,
    "volumes": _BRAIN,
}  # fmt: skip


def place_of(name: str) -> Path | None:
    """The folder that holds the file of an example, or None where there is none."""
    return next((place for place in PLACES if (place / DOWNLOADS[name].file).exists()), None)


def missing(name: str) -> str:
    """What an example lacks here, in a sentence; nothing where it can run."""
    if name in DOWNLOADS and place_of(name) is None:
        return f"Its data are not on this machine: {DOWNLOADS[name].source}."
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    lacking = sorted(top for top in {module.split(".")[0] for module in imported} if find_spec(top) is None)
    return f"Packages are not installed here: {', '.join(lacking)}." if lacking else ""


def full(gallery_conf: dict[str, Any], script_vars: dict[str, Any]) -> list[str]:
    """The command line of a full run."""
    return _begin(script_vars, "full")


def smoke(gallery_conf: dict[str, Any], script_vars: dict[str, Any]) -> list[str]:
    """The command line of a smoke run."""
    return [*_begin(script_vars, "smoke"), "--smoke"]


def _begin(script_vars: dict[str, Any], mode: str) -> list[str]:
    """Note how the example runs, empty the folder of its figures, and name that folder and the data."""
    name = Path(script_vars["src_file"]).stem
    shutil.rmtree(RUNS / name, ignore_errors=True)
    (PAGES / f"{name}.run").write_text(mode)
    data = ["--data", str(place_of(name))] if name in DOWNLOADS else []
    # Relative to `examples`, where an example runs: no path of this machine is printed.
    return ["--out", f"../{(RUNS / name).relative_to(DOCS.parent)}", *data]


def figures(block: object, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Show the figures that an example has written into its folder."""
    from sphinx_gallery.scrapers import figure_rst

    example = Path(block_vars["src_file"])
    shown = []
    written = sorted((RUNS / example.stem).rglob("*.png"), key=lambda path: path.stat().st_mtime_ns)
    for path in written:  # in the order in which the example drew them
        shown.append(next(block_vars["image_path_iterator"]))
        shutil.move(path, shown[-1])
    title = (ast.get_docstring(ast.parse(example.read_text(encoding="utf-8"))) or example.stem).split("\n")[0]
    # One by one: several at once are shown side by side, too small to read.
    return "".join(figure_rst([path], gallery_conf["src_dir"], f"Figure of the example: {title}") for path in shown)


def prepare(gallery_conf: dict[str, Any], name: str) -> None:
    """Draw into files, and keep the warnings of other libraries off the pages."""
    if find_spec("matplotlib"):
        import matplotlib as mpl

        mpl.use("agg")
    warnings.filterwarnings("ignore")


def _configure(app: Sphinx, config: Config) -> None:
    """Set up sphinx-gallery, before it reads its settings."""
    mode = config.gallery_run
    if mode not in RUN_MODES:
        raise ConfigError(f"gallery_run must be one of {RUN_MODES}, got {mode!r}")
    names = sorted(path.stem for path in EXAMPLES.glob("*.py"))
    lacking = {name: why for name in names if (why := missing(name))}
    for name, why in lacking.items() if mode != "no" else ():
        logger.info("examples/%s.py is shown and not run. %s", name, why)
    running = [name for name in names if mode != "no" and name not in lacking]
    config.sphinx_gallery_conf = {
        "examples_dirs": "../examples",
        "gallery_dirs": "gallery",
        "backreferences_dir": "gallery/backreferences",
        "nested_sections": False,
        "ignore_pattern": "reproduction",
        "filename_pattern": rf"/({'|'.join(running)})\.py$" if running else r"(?!)",
        "within_subsection_order": "FileNameSortKey",
        "reset_argv": f"gallery_conf.{'smoke' if mode == 'smoke' else 'full'}",
        "image_scrapers": ("gallery_conf.figures",),
        "reset_modules": ("gallery_conf.prepare",),
        "capture_repr": (),
        "inspect_global_variables": False,
        "abort_on_example_error": False,
        "default_thumb_file": str(DOCS / "figures" / "idea.png"),
        "download_all_examples": False,
        "first_notebook_cell": "# pip install 'infomax[examples,integrations]'\n%matplotlib inline",
        "show_signature": False,
        "write_computation_times": False,
    }
    config.exclude_patterns.append("gallery/index.rst")  # gallery.md stands in its place


def _lead_with_the_result(app: Sphinx, page: str, source: list[str]) -> None:
    """Show figure and output of an example below its text, not below its last line of code, and say how it ran."""
    folder, _, name = page.partition("/")
    if folder != PAGES.name or not (EXAMPLES / f"{name}.py").exists():
        return
    source[0] = result_first(source[0], name).replace(f"../{RUNS.relative_to(DOCS.parent)}", "runs")


def result_first(text: str, name: str) -> str:
    """The page of an example, with its notice, figures and output before its code."""
    first = r"\n\.\. (?:image-sg::|rst-class:: sphx-glr-script-out)"
    last = r"\n\.\. rst-class:: sphx-glr-timing"
    result = re.search(f"{first}.+?(?={last})", text, re.DOTALL)
    if result:
        text = text[: result.start()] + text[result.end() :]
    introduction, mark, code = text.partition("\n.. GENERATED FROM PYTHON SOURCE LINES")
    return f"{introduction}\n{notice(name)}{result[0] if result else ''}\n{mark}{code}"


def notice(name: str) -> str:
    """What the page of an example says about its output, as reStructuredText."""
    mode, kind = ran_as(name), "note"
    if mode == "full":
        seconds = json.loads((PAGES / f"{name}.cost.json").read_text())["time"]
        how = f"""Figure and output are those of a full run of this file, which took {seconds:.0f} seconds.
   The last digits of a number depend on the machine."""
    elif mode == "smoke":
        kind = "warning"
        how = """Figure and output are those of ``--smoke``, a few steps on little data: they show that the
   file runs, not what it learns. The numbers in the text come from full runs.
   ``make gallery`` runs every example in full."""
    else:
        how = f"""This file was not run for this page. {missing(name)}
   ``make gallery`` runs every example that it can."""
    end = f":ref:`The end of the page <sphx_glr_download_gallery_{name}.py>` has the file and a notebook to download."
    return f".. {kind}::\n\n   {how}\n   {end}\n"


def ran_as(name: str) -> str:
    """How the page of an example came about: `full`, `smoke` or `no`."""
    copy, stamp, mode = (PAGES / f"{name}{end}" for end in (".py", ".py.md5", ".run"))
    if not (copy.exists() and stamp.exists() and mode.exists()):
        return "no"
    same = md5(copy.read_bytes(), usedforsecurity=False).hexdigest() == stamp.read_text()
    return mode.read_text() if same else "no"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the gallery and its one setting."""
    app.add_config_value("gallery_run", "no", "", types=(str,))
    app.connect("config-inited", _configure, priority=5)
    app.connect("source-read", _lead_with_the_result)
    app.setup_extension("sphinx_gallery.gen_gallery")
    app.add_css_file("gallery.css", priority=900)  # after that of sphinx-gallery
    return {"parallel_read_safe": True}
