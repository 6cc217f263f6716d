"""The comparison of MI estimators runs, and its table says why a method could not run."""

from __future__ import annotations

import argparse
import csv
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import mi, mi_ksg, mi_labels, mi_methods, mi_report, mi_suites
from infomax.mi.tasks import correlated_normal, dense_gaussian, independent

ROOT = Path(__file__).resolve().parents[2]
SAYS = {
    "mi": "mean |error|",
    "estimators": "leave_one_out",
    "trained": "best fresh",
}


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true")
    mi.add_options(parser)
    return parser.parse_args(words)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAYS)
def test_it_runs(name: str) -> None:
    command = [sys.executable, "-m", "benchmarks", name, "--smoke"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert SAYS[name] in run.stdout


@pytest.mark.parametrize("name", sorted(set(mi_suites.SUITES) - {"beyond-normal", "coverage"}))
def test_a_suite_runs_quickly_and_tells_every_group(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mi, "RESULTS", tmp_path)
    mi.run(options("--suite", name, "--smoke", "--seeds", "1", "--size", "100", "--steps", "2"))
    said = capsys.readouterr().out
    suite = mi_suites.SUITES[name]
    assert suite.aim in said
    for case in {case.group: case for case in suite.cases(100)}.values():
        assert case.name in said.partition("Aim:")[2]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", mi_suites.SUITES)
def test_the_cases_of_a_suite_can_be_told_apart_and_name_methods_that_exist(name: str) -> None:
    suite = mi_suites.SUITES[name]
    cases = suite.cases(None)
    assert len({(case.name, case.rows) for case in cases}) == len(cases)
    assert set(suite.methods) <= set(mi_methods.METHODS)
    x, y = cases[0].sample(30, 0)
    assert len(x) == len(y) == 30


def test_the_sizes_and_truths_of_suites_are_those_announced() -> None:
    sizes = {name: {case.rows for case in suite.cases(None)} for name, suite in mi_suites.SUITES.items()}
    assert sizes["beyond-normal"] == sizes["mutinfo"] == {10_000}
    assert sizes["bmi2"] == {5_000}
    assert sizes["small"] == {100, 200, 500, 1_000}
    assert sizes["coverage"] == {1_000}
    assert sizes["labels"] == {1_797}
    many, one_pair = mi_suites.SUITES["gaussian"].cases(None)
    assert (many.rows, one_pair.rows) == (5_000, 2_000)
    assert many.truth == pytest.approx(2.302, abs=1e-3)
    assert one_pair.truth == pytest.approx(0.830, abs=1e-3)
    assert [side.shape[1] for side in (*many.sample(5, 0), *one_pair.sample(5, 0))] == [16, 16, 100, 100]
    levels = {case.group for case in mi_suites.SUITES["mutinfo"].cases(None)}
    assert levels == {"1 nats", "3 nats", "5 nats", "8 nats"}


def test_a_run_goes_on_where_it_was_and_keeps_table_numbers_and_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def count(x: np.ndarray, y: np.ndarray, terms: mi_methods.Terms) -> mi_methods.Answer:
        asked.append((len(x), terms.seed))
        return mi_methods.Answer(0.5, 0.1, 0.9, 0.01, bound=0.4, flagged=False)

    monkeypatch.setattr(mi, "RESULTS", tmp_path)
    monkeypatch.setitem(mi_methods.METHODS, "infomax", count)
    words = ("--suite", "small", "--tasks", "sine", "--methods", "infomax", "--size", "50")
    mi.run(options(*words, "--seeds", "2"))
    mi.run(options(*words, "--seeds", "3"))
    assert asked == [(50, 0), (50, 1), (50, 2)]
    (numbers,) = tmp_path.glob("mi-small-*.csv")
    with numbers.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["bound"] for row in rows] == ["0.4"] * 3
    assert all("commit" in row["conditions"] for row in rows)
    assert "0 of 3" in numbers.with_suffix(".txt").read_text()  # none of three is flagged
    assert numbers.with_suffix(".png").exists()


def test_a_method_that_is_not_there_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(x: np.ndarray, y: np.ndarray, terms: mi_methods.Terms) -> mi_methods.Answer:
        raise mi_methods.MissingPeerError("no_such_package: No module named 'no_such_package'")

    monkeypatch.setitem(mi_methods.METHODS, "CCA (bmi)", missing)
    mi.run(options("--suite", "small", "--smoke", "--methods", "CCA (bmi)", "KSG, k = 3"))
    said = capsys.readouterr().out
    assert "Skipped: CCA (bmi) (no_such_package: No module named 'no_such_package')" in said
    assert "KSG, k = 3" in said.partition("Aim:")[2]


def test_another_process_says_what_it_lacks() -> None:
    x = np.zeros((2, 1))
    for run in (mi_methods._apart, mi_methods._here):
        with pytest.raises(mi_methods.MissingPeerError, match="no_such_package"):
            run(len_of, "no_such_package")(x, x, mi_methods.Terms())


def len_of(x: np.ndarray, y: np.ndarray) -> float:
    return float(len(x))


def test_a_method_over_its_time_on_two_cases_in_a_row_is_asked_no_more() -> None:
    late, other, answered = {"note": "no answer within 60 s"}, {"note": "ValueError: no"}, {"note": ""}

    def given_up(*notes: dict[str, str]) -> bool:
        return mi._given_up("slow", [{"method": "slow", **note} for note in notes] + [{"method": "quick", **answered}])

    assert given_up(late, late)
    assert given_up(late, late, {"note": mi._NOT_ASKED.note})
    assert not given_up(late)
    assert not given_up(late, answered)
    assert not given_up(other, other)


@pytest.mark.parametrize("task", [dense_gaussian(1, 1, 0.75), correlated_normal(0.5, 0.7), independent(1, 1)], ids=str)
def test_nearest_neighbours_find_what_is_known(task) -> None:
    x, y = (side.numpy() for side in task.sample(3_000, seed=0))
    assert mi_ksg.ksg(x, y) == pytest.approx(task.nats, abs=0.06)


def test_nearest_neighbours_agree_with_scikit_learn_in_one_dimension() -> None:
    from sklearn.feature_selection import mutual_info_regression

    x, y = (side.numpy() for side in dense_gaussian(1, 1, 0.9).sample(500, seed=1))
    theirs = mutual_info_regression(x, y[:, 0], n_neighbors=3, random_state=0)[0]
    assert mi_ksg.ksg(x, y) == pytest.approx(theirs, abs=1e-6)
    with pytest.raises(mi_methods.NotApplicableError):
        mi_methods._sklearn_ksg(np.c_[x, x], y)


def test_a_classifier_bounds_the_information_of_digits_in_both_codings() -> None:
    pytest.importorskip("sklearn", minversion="1.8", reason="scaling by temperature needs scikit-learn 1.8")
    found = [mi_labels.held_out_nats(*sample(600, 0)) for sample in mi_labels.labels().values()]
    assert found[0] == found[1]
    assert 1.8 < found[0] < math.log(10)


ROW = {"nats": 5.0, "low": 4.0, "high": 6.0, "truth": 5.3, "flagged": False, "note": "", "rows": 1_000}


@pytest.mark.parametrize(
    ("changed", "sound"),
    [
        ({}, True),
        ({"nats": 0.0, "low": 0.0}, False),
        ({"nats": 0.0, "low": 0.0, "flagged": True}, False),
        ({"nats": 2604.0, "high": 3000.0, "flagged": True}, False),
        ({"nats": 4.0, "flagged": True}, True),
        ({"nats": 4.0}, False),
        ({"truth": math.inf}, False),
        ({"truth": math.inf, "flagged": True}, True),
        ({"high": math.nan}, False),
        ({"high": math.inf, "flagged": True}, False),
        ({"nats": None, "note": "ValueError: it could not be read"}, True),
        ({"nats": None, "note": "no answer within 60 s"}, False),
    ],
)
def test_what_cannot_be_taken_for_another(changed: dict[str, object], sound: bool) -> None:
    assert mi_report.sound({**ROW, **changed}, 0.6) is sound


def test_intervals_of_cases_without_a_finite_truth_are_not_counted() -> None:
    suite = mi_suites.SUITES["strong"]
    rows = [
        {
            **ROW, "suite": "strong", "task": f"of {truth}", "group": "g", "rows": 10, "seed": 0, "truth": truth,
            "method": "infomax", "bound": None, "seconds": 1.0, "samples": "ours", "conditions": "here",
        }
        for truth in (5.3, math.inf)
    ]  # fmt: skip
    summary = mi_report._summary(suite, {}, rows)
    assert summary["holds the truth"] == "1 of 1"
    assert summary["largest |error|"] == pytest.approx(0.3)
    assert summary["within 0.6 or flagged"] == "1 of 2"


def test_a_sample_read_from_a_file_is_the_same_as_one_just_drawn() -> None:
    """One sample was counted twice when one of its two methods had been measured in an earlier run."""
    rows = [{**ROW, "task": "t", "group": "g", "seed": seed, "method": method, "bound": None}
            for seed, method in (("0", "first"), (0, "second"))]  # fmt: skip
    (line,) = mi_report._by_case(rows, ["first", "second"])
    assert line["samples"] == 1


def test_a_method_is_asked_again_only_where_it_gets_more_time(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows measured with a limit of 60 seconds were kept under ``--seconds 600``; ``--steps`` changed the file."""
    allowed: list[float] = []

    def slow(x: np.ndarray, y: np.ndarray, terms: mi_methods.Terms) -> mi_methods.Answer:
        allowed.append(terms.seconds)
        return mi_methods.Answer(note=f"no answer within {terms.seconds:.0f} s")

    monkeypatch.setattr(mi, "RESULTS", tmp_path)
    monkeypatch.setitem(mi_methods.METHODS, "slow", slow)
    few = ("--suite", "gaussian", "--seeds", "1", "--size", "50", "--methods")
    for seconds in ("60", "60", "600"):
        mi.run(options(*few, "slow", "--seconds", seconds))
    assert allowed == [60.0, 60.0, 600.0, 600.0]  # two cases; the second call measures nothing
    (file,) = tmp_path.glob("*.csv")
    before = file.read_bytes()
    mi.run(options(*few, "infomax", "--steps", "2"))
    assert file.read_bytes() == before


def test_the_interval_shown_is_that_of_a_method_that_has_one() -> None:
    """The interval was taken from the first method in the file, which had none if a peer had been measured first."""
    rows = [
        {**ROW, "suite": "small", "task": "t", "group": "g", "seed": 0, "method": method, "bound": 1.0, "seconds": 1.0,
         "samples": "ours", "conditions": "here", "low": low, "high": low, "flagged": None if low is None else False}
        for method, low in (("KSG, k = 3", None), ("infomax", 4.0))
    ]  # fmt: skip
    (line,) = mi_report._by_case(rows, ["KSG, k = 3", "infomax"])
    assert (line["low"], line["flagged"]) == (4.0, "0 of 1")
    text = mi_report.report(mi_suites.SUITES["small"], rows, {})
    assert text.index("infomax ") < text.index("KSG, k = 3 "), "in the order of the suite"


def test_samples_of_two_samplers_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mi, "RESULTS", tmp_path)
    monkeypatch.setitem(mi_methods.METHODS, "quick", lambda *_: mi_methods.Answer(nats=1.0, seconds=0.1))
    few = ("--suite", "gaussian", "--seeds", "1", "--size", "50", "--methods")
    mi.run(options(*few, "quick"))
    (file,) = tmp_path.glob("*.csv")
    file.write_text(file.read_text().replace("infomax.mi.tasks", "another"))
    mi.run(options(*few, "quick"))  # no row is missing, so nothing is drawn
    with pytest.raises(
        SystemExit, match=r"drawn by another, but this run draws them by infomax\.mi\.tasks: move the file first"
    ):
        mi.run(options(*few, "KSG, k = 3"))
