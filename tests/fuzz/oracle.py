"""The oracle: a call must end in a finite result, or in an error of the library that names an argument."""

from __future__ import annotations

import dataclasses
import inspect
import re
import resource
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import infomax

__all__ = ["Finding", "Refused", "attempt", "check_finite", "check_gradients", "is_plain", "is_tame", "place_of"]

OURS = (ValueError, TypeError, NotImplementedError)
SECONDS = 20.0
MEBIBYTES = 512
TAME = 2e4
_SOURCE = Path(infomax.__file__).resolve().parent


class Finding(AssertionError):  # noqa: N818 (what a search looks for)
    """A call that ended in a way that is not allowed."""


class Refused(Exception):  # noqa: N818 (no error of the target: the end of its example)
    """A call that ended in an error of the library, which is allowed; the example ends, since there is no result."""


def attempt(
    call: Callable[..., Any],
    *args: Any,
    names: Iterable[str] = (),
    infinite: bool = False,
    beside: object = (),
    also: tuple[type[Exception], ...] = (),
    **kwargs: Any,
) -> Any:
    """Make one call and judge how it ends.

    Args:
        call: the function or module to call.
        *args: positional arguments of the call.
        names: names that an error may mention, besides the parameters of ``call``.
        infinite: whether the result of tame arguments may be infinite. It must never be NaN.
        beside: other values that the result depends on. The result is judged only if they are tame too.
        also: types of further documented errors, besides the three in ``OURS``.
        **kwargs: keyword arguments of the call.

    Returns:
        The result of the call.

    Raises:
        Refused: the call raised an error of the library.
        Finding: the call ended otherwise: another error, a warning, a value that is not finite, a hang, much memory.
    """
    spoken = {*_parameters(call), *names}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with _limited(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("error")
            result = call(*args, **kwargs)
    except Finding:
        raise
    except Exception as error:
        if not is_ours(error, spoken, also):
            raise Finding(f"{type(error).__name__}: {error}") from error
        raise Refused from error
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if grown > MEBIBYTES:
        raise Finding(f"{_name(call)} took {grown:.0f} MiB")
    if is_tame([args, kwargs, beside]):
        check_finite(result, infinite=infinite)
    return result


def is_ours(error: BaseException, names: Iterable[str], also: tuple[type[Exception], ...] = ()) -> bool:
    """Return whether an error comes from a ``raise`` in the library, has an allowed type, and names an argument."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    line = last.line or ""
    return (
        type(error) in (*OURS, *also)
        and Path(last.filename).resolve().is_relative_to(_SOURCE)
        and line.lstrip().startswith("raise ")
        and any(re.search(_as_word(name), str(error)) for name in names)
    )


def _as_word(name: str) -> str:
    """Return a pattern that finds a name at the start of a word, such as its plural, or one letter as a whole word."""
    return rf"(?<![a-z]){re.escape(name)}" + ("(?![a-zA-Z])" if len(name) == 1 else "")


def place_of(error: BaseException) -> str:
    """Return the error and the last frame of the library in its traceback, as a text that identifies the finding."""
    cause = error.__cause__ or error
    frames = [frame for frame in traceback.extract_tb(cause.__traceback__) if str(_SOURCE) in frame.filename]
    at = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "outside"
    return f"{type(cause).__name__} at {at}" if error.__cause__ else f"{str(error)[:60]} at {at}"


def check_finite(result: object, *, infinite: bool = False) -> None:
    """Raise ``Finding`` if a number in the result is NaN or, unless ``infinite`` is set, infinite."""
    for value in _numbers(result):
        if bool(torch.isnan(value).any()):
            raise Finding("NaN in the result, of finite arguments")
        if not infinite and not bool(torch.isfinite(value).all()):
            raise Finding("an infinite result, of moderate arguments")


def check_gradients(values: Iterable[object], result: object) -> None:
    """Raise ``Finding`` if a gradient is not finite although all values and the result are moderate."""
    values = list(values)
    if not is_tame([values, result]):
        return
    for value in values:
        gradient = value.grad if isinstance(value, Tensor) and value.is_leaf and value.dtype.itemsize > 2 else None
        if is_plain(gradient) and not bool(gradient.isfinite().all()):
            raise Finding("a gradient that is not finite, of moderate arguments")


def is_plain(value: object) -> bool:
    """Return whether ``value`` is a dense tensor that holds values."""
    dense = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_nested
    return dense and not value.is_meta and not value.is_quantized


def is_tame(arguments: object) -> bool:
    """Return whether every floating number in the arguments is moderate, so that the result must be finite."""
    return all(bool((value.abs() <= TAME).all()) for value in _numbers(arguments))


def _numbers(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if is_plain(value) and value.numel():
            if value.is_complex():
                yield value.detach().abs()
            elif value.is_floating_point():
                yield value.detach().double()
    elif isinstance(value, float):
        yield torch.tensor(value)
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
        yield torch.from_numpy(value.astype(np.float64))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _numbers(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _numbers(getattr(value, field.name))


def _parameters(call: Callable[..., Any]) -> set[str]:
    function = call.forward if isinstance(call, torch.nn.Module) else call
    return {name for name in inspect.signature(function).parameters if name not in ("self", "args", "kwargs")}


def _name(call: Callable[..., Any]) -> str:
    return getattr(call, "__qualname__", type(call).__name__)


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise ``Finding`` if the block takes more processor time; in other threads than the main one, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: object) -> None:
        raise Finding(f"a call took more than {seconds:.0f} s of processor time")

    former = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)
