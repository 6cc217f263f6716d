"""The gallery: every example has a page with a title, its data can be made, and a page says how it was run."""

from __future__ import annotations

import ast
import importlib
import re
from hashlib import md5
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from markdown_blocks import python_blocks

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
NAMES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
PAGE = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")


@pytest.fixture
def conf(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("sphinx_gallery")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("gallery_conf")


def test_the_gallery_shows_each_example_once() -> None:
    assert sorted(re.findall(r"^   \.\./examples/(\w+)\.py$", PAGE, re.MULTILINE)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_a_page(name: str) -> None:
    text = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
    title, line, blank, *_ = (ast.get_docstring(ast.parse(text)) or "").split("\n")
    assert line == "=" * len(title)
    assert not blank
    for heading, rule in re.findall(r"^# %%\n# (.+)\n# (-+)$", text, re.MULTILINE):
        assert len(rule) == len(heading)
    assert text.count("# %%") == len(re.findall(r"^# %%\n# .+\n# -+$", text, re.MULTILINE)) >= 3


class TestArchives:
    """The functions on the gallery page write the files that the examples read."""

    @pytest.fixture
    def names(self) -> dict[str, object]:
        names: dict[str, object] = {}
        for block in python_blocks(PAGE):
            exec(compile(block.code, "gallery.md", "exec"), names)
        return names

    @pytest.mark.skipif(not DATA.exists(), reason=f"the graphs are not there: {DATA}")
    def test_citations(self, names, tmp_path) -> None:
        cora = np.load(DATA / "cora.npz")
        x = np.zeros(cora["shape"], np.float32)
        x[cora["feature_row"], cora["feature_col"]] = cora["feature_value"]
        masks = {f"{part}_mask": torch.zeros(len(x), dtype=torch.bool) for part in ("train", "val", "test")}
        for part in ("train", "val", "test"):
            masks[f"{part}_mask"][cora[part]] = True
        data = SimpleNamespace(
            x=torch.from_numpy(x),
            edge_index=torch.from_numpy(cora["edge_index"]).long(),
            y=torch.from_numpy(cora["label"]).long(),
            **masks,
        )
        names["save_citations"]([data], tmp_path / "cora.npz")
        made = np.load(tmp_path / "cora.npz")
        assert set(made.files) == set(cora.files)
        order = np.lexsort((cora["feature_col"], cora["feature_row"]))
        for key in cora.files:
            expected = cora[key][order] if key.startswith("feature") else cora[key]
            expected = np.sort(expected) if key in ("train", "val", "test") else expected
            np.testing.assert_array_equal(made[key], expected, err_msg=key)

    def test_molecules(self, names, tmp_path) -> None:
        chain = torch.tensor([[0, 1], [1, 0]])
        molecules = [
            SimpleNamespace(num_nodes=2, x=torch.eye(3)[tags], edge_index=chain, y=torch.tensor([label]))
            for tags, label in (([0, 2], 1), ([1, 1], 0))
        ]
        names["save_molecules"](molecules, tmp_path / "mutag.npz")
        made = np.load(tmp_path / "mutag.npz")
        assert made["node_tag"].tolist() == [0, 2, 1, 1]
        assert made["graph"].tolist() == [0, 0, 1, 1]
        assert made["edge_index"].tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]
        assert made["label"].tolist() == [1, 0]
        assert sorted(made["fold"]) == [0, 1]


class TestHowAPageCameAbout:
    def test_a_page_says_no_more_than_was_run(self, conf, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(conf, "PAGES", tmp_path)
        assert conf.ran_as("quickstart") == "no"
        assert "was not run" in conf.notice("quickstart")
        (tmp_path / "quickstart.py").write_text("1")
        (tmp_path / "quickstart.py.md5").write_text(md5(b"1").hexdigest())
        (tmp_path / "quickstart.cost.json").write_text('{"time": 61.7}')
        for mode, said in (("smoke", "not what it learns"), ("full", "a full run")):
            (tmp_path / "quickstart.run").write_text(mode)
            assert conf.ran_as("quickstart") == mode
            assert said in conf.notice("quickstart")
        assert "62 seconds" in conf.notice("quickstart")
        (tmp_path / "quickstart.py").write_text("2")  # changed after the run
        assert conf.ran_as("quickstart") == "no"

    def test_the_result_comes_before_the_code(self, conf, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(conf, "PAGES", tmp_path)
        code = "\n.. GENERATED FROM PYTHON SOURCE LINES 1-2\n\n.. code-block:: Python\n"
        figure, output = "\n.. image-sg:: a.png\n", "\n.. rst-class:: sphx-glr-script-out\n\n 93.4 %\n"
        timing = "\n.. rst-class:: sphx-glr-timing\n"
        page = conf.result_first(f"Title\n=====\n{code}{figure}{output}{timing}", "quickstart")
        order = ["Title", "was not run", figure, output, code, timing]
        assert [page.index(part) for part in order] == sorted(page.index(part) for part in order)
        assert all(page.count(part) == 1 for part in order)
        assert conf.result_first(f"Title\n{code}", "quickstart").endswith(code)

    def test_what_is_missing_is_said(self, conf, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(conf, "PLACES", (tmp_path,))
        assert "Cora" in conf.missing("graph_nodes")
        (tmp_path / "cora.npz").touch()
        assert conf.missing("graph_nodes") == ""
        monkeypatch.setattr(conf, "find_spec", lambda name: None if name == "timm" else True)
        assert conf.missing("vision_vit") == "Packages are not installed here: timm."

    def test_every_example_that_takes_data_is_known(self, conf) -> None:
        takes = {name for name in NAMES if '"--data"' in (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")}
        assert takes == set(conf.DOWNLOADS)
