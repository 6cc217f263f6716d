"""`evaluate`: each cell is right and does not depend on the other cells requested, and the table is readable."""

from __future__ import annotations

import csv
import importlib
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from infomax.encoders import ConvEncoder
from infomax.evaluation import ProbeRow, ProbeTable, evaluate, extract_features, knn_probe, linear_probe, mlp_probe


def stripes(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return noisy images of vertical or horizontal stripes, with labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (rows,), generator=generator)
    lying = torch.arange(6).remainder(2).float().view(1, 1, 6, 1).expand(rows, 1, 6, 6)
    images = torch.where(labels.view(-1, 1, 1, 1) == 0, lying, lying.transpose(2, 3))
    return images + 0.3 * torch.randn(rows, 1, 6, 6, generator=generator), labels


TRAIN, TEST = stripes(128, 0), stripes(64, 1)
QUICK = {"mlp": partial(mlp_probe, batch_size=16, epochs=15), "knn": knn_probe}


def cells(table: ProbeTable) -> dict[tuple[str, str], float]:
    return {(row.layer, row.probe): row.accuracy for row in table.rows}


def test_all_layers_and_probes(encoder: ConvEncoder) -> None:
    before = [tensor.clone() for tensor in encoder.state_dict().values()]
    probes = {**QUICK, "linear": partial(linear_probe, epochs=2)}
    table = evaluate(encoder, TRAIN, TEST, probes=probes, name="untrained")
    assert set(cells(table)) == {(layer, p) for layer in ("conv", "fc", "y") for p in ("mlp", "linear", "knn")}
    assert {(row.layer, row.width) for row in table.rows} == {("conv", 36), ("fc", 16), ("y", 8)}
    assert {row.encoder for row in table.rows} == {"untrained"}
    assert all(map(torch.equal, before, encoder.state_dict().values()))
    assert encoder.training


def test_a_cell_is_the_probe_run_by_hand(encoder: ConvEncoder) -> None:
    table = evaluate(encoder, TRAIN, TEST, layers=["conv", "y"], probes=QUICK, random_state=3)
    train, test = extract_features(encoder, TRAIN), extract_features(encoder, TEST)
    for layer in ("conv", "y"):
        data = train.features[layer], TRAIN[1], test.features[layer], TEST[1]
        assert cells(table)[layer, "knn"] == knn_probe(*data)
        generator = torch.Generator().manual_seed(3)
        assert cells(table)[layer, "mlp"] == QUICK["mlp"](*data, random_state=generator)


def test_a_cell_depends_on_nothing_else_that_is_asked_for(encoder: ConvEncoder) -> None:
    whole = evaluate(encoder, TRAIN, TEST, probes=QUICK, random_state=1)
    part = evaluate(encoder, TRAIN, TEST, layers=["y"], probes={"mlp": QUICK["mlp"]}, random_state=1)
    assert cells(part)["y", "mlp"] == cells(whole)["y", "mlp"]
    assert evaluate(encoder, TRAIN, TEST, probes=QUICK, random_state=1) == whole


def test_it_sees_what_pixels_show() -> None:
    table = evaluate(nn.Flatten(), TRAIN, TEST, layers={"pixels": ""}, probes=QUICK)
    assert min(cells(table).values()) > 0.95


def test_loaders_and_transforms(encoder: ConvEncoder) -> None:
    loaders = [DataLoader(TensorDataset(*data), batch_size=50) for data in (TRAIN, TEST)]
    halved = [DataLoader(TensorDataset(images / 2, labels), batch_size=50) for images, labels in (TRAIN, TEST)]
    expected = cells(evaluate(encoder, *loaders, layers=["fc"], probes=["knn"]))
    result = evaluate(encoder, *halved, layers=["fc"], probes="knn", transform=lambda images: images * 2)
    assert cells(result) == expected


def test_progress_says_what_is_being_done(encoder: ConvEncoder) -> None:
    steps: list[str] = []
    evaluate(encoder, TRAIN, TEST, layers=["y"], probes=QUICK, progress=lambda what, *_: steps.append(what))
    assert list(dict.fromkeys(steps)) == ["train features", "test features", "y mlp", "y knn"]


def test_the_default_is_three_probes_at_three_layers(encoder: ConvEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    for name in ("mlp", "linear", "knn"):
        module = importlib.import_module("infomax.evaluation.evaluate")
        monkeypatch.setitem(module._PROBES, name, lambda *_, name=name, **__: ran.append(name) or 0.5)
    evaluate(encoder, TRAIN, TEST)
    assert ran == ["mlp", "linear", "knn"] * 3


class TestBadInput:
    def test_probes(self, encoder: ConvEncoder) -> None:
        with pytest.raises(ValueError, match="probes must be one of knn, linear, mlp, svm, got 'svn'"):
            evaluate(encoder, TRAIN, TEST, probes=["mlp", "svn"])
        with pytest.raises(ValueError, match="probes must name at least one of mlp, linear, knn, svm, got none"):
            evaluate(encoder, TRAIN, TEST, probes=[])
        with pytest.raises(TypeError, match="probes must be names or functions by name, got int"):
            evaluate(encoder, TRAIN, TEST, probes=3)

    def test_no_labels(self, encoder: ConvEncoder) -> None:
        with pytest.raises(ValueError, match="test must hold labels"):
            evaluate(encoder, TRAIN, TEST[0], layers=["y"])

    def test_one_class(self, encoder: ConvEncoder) -> None:
        with pytest.raises(ValueError, match="at least two classes, got only 0"):
            evaluate(encoder, (TRAIN[0], torch.zeros_like(TRAIN[1])), TEST, layers=["y"])

    def test_a_diverged_encoder(self, encoder: ConvEncoder) -> None:
        nn.init.constant_(encoder.y.weight, math.nan)
        with pytest.raises(ValueError, match="train_features must be finite, got NaN"):
            evaluate(encoder, TRAIN, TEST, layers=["y"])


class TestTable:
    ROWS = (
        ProbeRow("untrained", "mlp", "fc", 1024, 0.5, 0),
        ProbeRow("untrained", "mlp", "y", 64, 0.4, 0),
        ProbeRow("trained", "mlp", "fc", 1024, 0.75, 0),
        ProbeRow("trained", "mlp", "fc", 1024, 0.77, 1),
        ProbeRow("trained", "knn", "y", 64, 0.6234, 0),
    )

    def test_it_prints_aligned(self) -> None:
        assert str(ProbeTable(self.ROWS)).splitlines() == [
            "encoder    probe   fc (1024)  y (64)",
            "untrained  mlp          50.0    40.0",
            "trained    mlp    76.0 ± 1.4       -",
            "trained    knn             -    62.3",
        ]

    def test_a_table_without_names_has_no_column_for_them(self) -> None:
        table = ProbeTable([row._replace(encoder="") for row in self.ROWS[:2]])
        assert repr(table) == "probe  fc (1024)  y (64)\nmlp         50.0    40.0"

    def test_markdown(self) -> None:
        assert ProbeTable(self.ROWS[:2]).to_markdown().splitlines() == [
            "| encoder | probe | fc (1024) | y (64) |",
            "|:--|:--|--:|--:|",
            "| untrained | mlp | 50.0 | 40.0 |",
        ]

    def test_csv_reads_back(self, tmp_path: Path) -> None:
        ProbeTable(self.ROWS).to_csv(tmp_path / "table.csv")
        with (tmp_path / "table.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        assert [tuple(line.values()) for line in lines] == [tuple(map(str, row)) for row in self.ROWS]

    def test_tables_add_up(self) -> None:
        assert ProbeTable(self.ROWS[:2]) + ProbeTable(self.ROWS[2:]) == ProbeTable(self.ROWS)
        assert len({ProbeTable(self.ROWS), ProbeTable(self.ROWS), ProbeTable(self.ROWS[:1])}) == 2

    def test_means(self) -> None:
        table = ProbeTable(self.ROWS)
        assert table.mean("mlp", "fc", "trained") == pytest.approx(0.76)
        assert ProbeTable(self.ROWS[:2]).mean("mlp", "y") == 0.4
        with pytest.raises(KeyError, match="no probe 'svm' of layer 'y'"):
            table.mean("svm", "y", "trained")
        with pytest.raises(ValueError, match="encoder must be one of untrained, trained, got None"):
            table.mean("mlp", "y")

    def test_an_empty_table_prints(self) -> None:
        assert str(ProbeTable([])) == "probe"


def test_probes_by_name_are_functions() -> None:
    data = torch.randn(8, 4), torch.arange(8) % 2
    with pytest.raises(TypeError, match="probes must be functions by name, got str for 'mine'"):
        evaluate(nn.Linear(4, 2), data, data, layers={"y": ""}, probes={"mine": "knn"})  # type: ignore[dict-item]
