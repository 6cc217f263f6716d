"""What is compared: a function of samples and a budget of seconds each, which answers in nats."""

from __future__ import annotations

import contextlib
import io
import math
import multiprocessing
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import torch

__all__ = ["METHODS", "Answer", "MissingPeerError"]

_START_UP = 30.0  # seconds in which another process imports its libraries, beside its budget


class MissingPeerError(Exception):
    """A method that cannot run here, with the reason."""


@dataclass(frozen=True)
class Answer:
    """What a method says; ``nats`` is None where it says nothing, and ``note`` why."""

    nats: float | None = None
    low: float | None = None
    high: float | None = None
    seconds: float | None = None
    note: str = ""


Method = Callable[[np.ndarray, np.ndarray, float], Answer]
Estimate = Callable[[np.ndarray, np.ndarray], float]


def _ours(**options: object) -> Method:
    def ask(x: np.ndarray, y: np.ndarray, seconds: float) -> Answer:
        from infomax import estimate_mi

        found = estimate_mi(x, y, random_state=0, **options)
        note = "" if found.seconds <= seconds else f"took {found.seconds:.0f} s"
        return Answer(found.nats, found.low, found.high, found.seconds, note)

    return ask


def _apart(estimate: Estimate, needs: str) -> Method:
    """Run in another process, which is ended when its time is over."""

    def ask(x: np.ndarray, y: np.ndarray, seconds: float) -> Answer:
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
            return Answer(seconds=taken, note=f"no answer within {seconds:.0f} s")
        if kind == "failed" or not math.isfinite(value):
            return Answer(seconds=taken, note=str(value))
        return Answer(value, seconds=taken)

    return ask


def _answer(estimate: Estimate, needs: str, x: np.ndarray, y: np.ndarray, threads: int, sender: Connection) -> None:
    torch.set_num_threads(threads)
    try:
        __import__(needs)
    except (ImportError, AttributeError) as error:  # AttributeError: versions that do not fit each other
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


def _cca(x: np.ndarray, y: np.ndarray) -> float:
    import bmi

    return bmi.estimators.CCAMutualInformationEstimator().estimate(x, y)


def _ksg(x: np.ndarray, y: np.ndarray) -> float:
    import bmi

    return bmi.estimators.KSGEnsembleFirstEstimator(neighborhoods=(10,), chunk_size=100).estimate(x, y)


def _bmi_infonce(x: np.ndarray, y: np.ndarray) -> float:
    import bmi

    return bmi.estimators.InfoNCEEstimator(verbose=False).estimate(x, y)


def _bmi_mine(x: np.ndarray, y: np.ndarray) -> float:
    import bmi

    return bmi.estimators.MINEEstimator(verbose=False).estimate(x, y)


def _bmi_nwj(x: np.ndarray, y: np.ndarray) -> float:
    import bmi

    return bmi.estimators.NWJEstimator(verbose=False).estimate(x, y)


def _mist_smile(x: np.ndarray, y: np.ndarray) -> float:
    from torch_mist import estimate_mi

    torch.manual_seed(0)
    found = estimate_mi(
        data=(x.astype(np.float32), y.astype(np.float32)), estimator="smile", hidden_dims=[128, 64], verbose=False
    )
    return found[0] if isinstance(found, tuple) else found


METHODS: dict[str, Method] = {
    "infomax": _ours(),
    "infomax, start alone": _ours(max_steps=0),
    "infomax, network alone": _ours(start="none"),
    "CCA (bmi)": _apart(_cca, "bmi"),
    "KSG (bmi)": _apart(_ksg, "bmi"),
    "InfoNCE (bmi)": _apart(_bmi_infonce, "bmi"),
    "MINE (bmi)": _apart(_bmi_mine, "bmi"),
    "NWJ (bmi)": _apart(_bmi_nwj, "bmi"),
    "SMILE (torch-mist)": _apart(_mist_smile, "torch_mist"),
}
