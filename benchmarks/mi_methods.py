"""The methods that the benchmark compares. Each is a function of samples and terms, and answers in nats."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import multiprocessing
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

import numpy as np
import torch

from benchmarks.mi_ksg import ksg
from benchmarks.mi_labels import held_out_nats

__all__ = ["METHODS", "Answer", "MissingPeerError", "Terms"]

_START_UP = 30.0  # seconds for another process to import its libraries, in addition to its budget


class MissingPeerError(Exception):
    """The reason why a method cannot run here."""


class NotApplicableError(Exception):
    """The reason why a method has no answer for samples of this kind."""


@dataclass(frozen=True)
class Terms:
    """The settings that every method receives besides the samples.

    Attributes:
        seconds: time budget; a method in another process is terminated when it exceeds the budget.
        seed: random seed, for methods that take one.
        steps: most training steps of `estimate_mi`; its default when None.
    """

    seconds: float = 60.0
    seed: int = 0
    steps: int | None = None


@dataclass(frozen=True)
class Answer:
    """The answer of a method. If it gives no estimate, ``nats`` is None and ``note`` says why."""

    nats: float | None = None
    low: float | None = None
    high: float | None = None
    seconds: float | None = None
    note: str = ""
    bound: float | None = None
    flagged: bool | None = None


Method = Callable[[np.ndarray, np.ndarray, Terms], Answer]
Estimate = Callable[[np.ndarray, np.ndarray], float]


def _ours(**options: object) -> Method:
    def ask(x: np.ndarray, y: np.ndarray, terms: Terms) -> Answer:
        from infomax import estimate_mi

        begun = time.perf_counter()
        try:
            found = estimate_mi(x, y, random_state=terms.seed, **{"max_steps": terms.steps, **options})
        except ValueError as error:  # a refusal is an answer too
            return Answer(seconds=time.perf_counter() - begun, note=f"ValueError: {error}"[:200])
        note = "" if found.seconds <= terms.seconds else f"took {found.seconds:.0f} s"
        return Answer(
            found.nats, found.low, found.high, found.seconds, note, bound=found.bound, flagged=found.saturated
        )

    return ask


def _here(estimate: Estimate, needs: str) -> Method:
    """Run an estimate in this process; for estimates that are fast and start no threads of their own."""

    def ask(x: np.ndarray, y: np.ndarray, terms: Terms) -> Answer:
        del terms
        _refuse_missing(needs)
        begun = time.perf_counter()
        try:
            value = float(estimate(x, y))
        except NotApplicableError as reason:
            return Answer(note=str(reason))
        return Answer(value, seconds=time.perf_counter() - begun)

    return ask


def _refuse_missing(needs: str) -> None:
    if importlib.util.find_spec(needs) is None:
        raise MissingPeerError(f"{needs}: No module named '{needs}'")


def _apart(estimate: Estimate, needs: str) -> Method:
    """Run an estimate in another process, which is terminated when its time is over."""

    def ask(x: np.ndarray, y: np.ndarray, terms: Terms) -> Answer:
        _refuse_missing(needs)
        seconds = terms.seconds
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_answer, args=(estimate, needs, x, y, torch.get_num_threads(), sender))
        process.start()
        sender.close()
        kind, value, taken = "over", None, seconds
        try:
            if receiver.poll(seconds + _START_UP):
                kind, value, taken = receiver.recv()
        except EOFError:
            kind, value = "failed", "the process ended without an answer"
        finally:
            process.terminate()
            process.join()
        if kind == "missing":
            raise MissingPeerError(value)
        if kind == "over":
            return Answer(seconds=taken, note=f"no answer within {seconds:g} s")
        if kind == "failed" or not math.isfinite(value):
            return Answer(seconds=taken, note=str(value))
        return Answer(value, seconds=taken)

    return ask


def _answer(estimate: Estimate, needs: str, x: np.ndarray, y: np.ndarray, threads: int, sender: Connection) -> None:
    torch.set_num_threads(threads)
    try:
        __import__(needs)
    except (ImportError, AttributeError) as error:  # AttributeError: incompatible versions
        sender.send(("missing", f"{needs}: {error}", 0.0))
        return
    begun = time.perf_counter()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            value = float(estimate(x, y))
    except Exception as error:  # noqa: BLE001 (a peer's failure is a row of the table)
        traceback.print_exc()
        sender.send(("failed", f"{type(error).__name__}: {error}"[:200], time.perf_counter() - begun))
        return
    sender.send(("value", value, time.perf_counter() - begun))


def _bmi(estimator: str, x: np.ndarray, y: np.ndarray, **options: object) -> float:
    import bmi

    return getattr(bmi.estimators, estimator)(**options).estimate(x, y)


def _mist_smile(x: np.ndarray, y: np.ndarray) -> float:
    from torch_mist import estimate_mi

    torch.manual_seed(0)
    found = estimate_mi(
        data=(x.astype(np.float32), y.astype(np.float32)), estimator="smile", hidden_dims=[128, 64], verbose=False
    )
    return found[0] if isinstance(found, tuple) else found


def _minde(x: np.ndarray, y: np.ndarray) -> float:
    import dmi

    torch.manual_seed(0)
    # The defaults, 1,000 epochs at a rate of 5e-5 with batches of 64, are 40 times as many steps.
    estimator = dmi.estimators.MINDEEstimator(learning_rate=1e-3, batch_size=256, max_epochs=100)
    estimator.fit(x, y)
    return estimator.estimate(x, y)


def _sklearn_ksg(x: np.ndarray, y: np.ndarray) -> float:
    from sklearn.feature_selection import mutual_info_regression

    if x.shape[1] != 1 or y.shape[1] != 1:
        raise NotApplicableError("one coordinate a side only")
    return mutual_info_regression(x, y[:, 0], n_neighbors=3, random_state=0)[0]


def _svm(x: np.ndarray, y: np.ndarray) -> float:
    if y.dtype.kind == "f" and not np.isin(y, (0, 1)).all():
        raise NotApplicableError("classes only")
    import sklearn

    if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8):
        raise MissingPeerError(f"sklearn: temperature scaling needs 1.8, here is {sklearn.__version__}")
    return held_out_nats(x, y)


def _infomeasure_ksg(x: np.ndarray, y: np.ndarray) -> float:
    import infomeasure

    return infomeasure.mutual_information(x.astype(float), y.astype(float), approach="ksg", k=4, base="e")


METHODS: dict[str, Method] = {
    "infomax": _ours(),
    "infomax, start alone": _ours(max_steps=0),
    "infomax, network alone": _ours(start="none"),
    "KSG, k = 3": _here(ksg, "scipy"),
    "KSG (scikit-learn)": _here(_sklearn_ksg, "sklearn"),
    "SVM (scikit-learn)": _here(_svm, "sklearn"),
    "KSG (infomeasure)": _apart(_infomeasure_ksg, "infomeasure"),
    "CCA (bmi)": _apart(partial(_bmi, "CCAMutualInformationEstimator"), "bmi"),
    "KSG (bmi)": _apart(partial(_bmi, "KSGEnsembleFirstEstimator", neighborhoods=(10,), chunk_size=100), "bmi"),
    "InfoNCE (bmi)": _apart(partial(_bmi, "InfoNCEEstimator", verbose=False), "bmi"),
    "MINE (bmi)": _apart(partial(_bmi, "MINEEstimator", verbose=False), "bmi"),
    "NWJ (bmi)": _apart(partial(_bmi, "NWJEstimator", verbose=False), "bmi"),
    "SMILE (torch-mist)": _apart(_mist_smile, "torch_mist"),
    "MINDE (diffusion-mi)": _apart(_minde, "dmi"),
}
