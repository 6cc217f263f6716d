"""The one place that looks up an estimator by its short name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias, cast

from torch import nn

from infomax._checks import check_choice
from infomax.estimators.base import Estimator
from infomax.estimators.donsker_varadhan import DonskerVaradhan
from infomax.estimators.fdivergence import FDIVERGENCES, FDivergence
from infomax.estimators.infonce import InfoNCE
from infomax.estimators.jensen_shannon import JensenShannon, Logistic
from infomax.estimators.mine import MINE
from infomax.estimators.nwj import NWJ
from infomax.estimators.smile import SMILE
from infomax.estimators.tuba import TUBA
from infomax.estimators.upper import CLUB, LeaveOneOut
from infomax.estimators.wasserstein import Wasserstein

__all__ = ["EstimatorLike", "build_estimator", "check_estimator", "names"]

EstimatorLike: TypeAlias = "str | nn.Module | Callable[[], nn.Module]"
"""The values of ``estimator=``: a short name, a module, or a factory."""

_ESTIMATORS: dict[str, Callable[[], Estimator]] = {
    "infonce": InfoNCE,
    "jsd": JensenShannon,
    "logistic": Logistic,
    "dv": DonskerVaradhan,
    "nwj": NWJ,
    "smile": SMILE,
    "mine": MINE,
    "tuba": TUBA,
    "alpha_tuba": partial(TUBA, alpha=0.5),
    "wasserstein": Wasserstein,
    "club": CLUB,
    "leave_one_out": LeaveOneOut,
}


def build_estimator(estimator: EstimatorLike, name: str = "estimator") -> Estimator:
    """Return the estimator that a short name, a module or a factory stands for.

    Args:
        estimator: ``"infonce"``, ``"jsd"``, ``"logistic"``, ``"dv"``, ``"nwj"``, ``"smile"``, ``"mine"``, ``"tuba"``,
            ``"alpha_tuba"`` (alpha 0.5), ``"wasserstein"``, ``"club"``, ``"leave_one_out"``, an f-divergence (``"kl"``,
            ``"rkl"``, ``"hellinger"``, ``"chi2"``, ``"gan"``), a module with ``forward(scores)`` and
            ``mutual_information(scores)``, or a callable that takes no arguments and returns such a module.
        name: name of the argument in error messages.

    Raises:
        TypeError: ``estimator`` is none of these.
        ValueError: the name is unknown.

    Example:
        >>> from infomax import SMILE
        >>> from infomax.estimators import build_estimator
        >>> build_estimator("nwj")
        NWJ()
        >>> build_estimator(lambda: SMILE(clip=3.0))
        SMILE(clip=3.0)
    """
    check_estimator(estimator, name)
    if isinstance(estimator, str):
        return _ESTIMATORS[estimator]() if estimator in _ESTIMATORS else FDivergence(estimator)
    made: object = estimator
    if not isinstance(estimator, nn.Module):
        try:
            made = estimator()
        except TypeError as error:
            raise TypeError(
                f"{name} was called as a factory, without arguments, and raised {error}; to use a function of "
                "scores, subclass infomax.Estimator"
            ) from error
        if not isinstance(made, nn.Module):
            raise _no_estimator(name, f"{type(estimator).__name__}, which returned {type(made).__name__}")
        check_estimator(made, name)
    return cast("Estimator", made)


def check_estimator(estimator: EstimatorLike, name: str = "estimator") -> None:
    """Raise the errors of :func:`build_estimator` that show without building or calling anything.

    Args:
        estimator: a short name, a module, or a factory.
        name: name of the argument in error messages.

    Raises:
        TypeError: ``estimator`` is none of these, or is a module without ``mutual_information``.
        ValueError: the name is unknown.
    """
    if isinstance(estimator, str):
        check_choice(name, estimator, names())
    elif isinstance(estimator, nn.Module):
        if not hasattr(estimator, "mutual_information"):
            raise TypeError(
                f"{name} must offer mutual_information(scores) as well as forward(scores), which "
                f"{type(estimator).__name__} does not; subclass infomax.Estimator"
            )
    elif not callable(estimator):
        raise _no_estimator(name, type(estimator).__name__)


def _no_estimator(name: str, kind: str) -> TypeError:
    return TypeError(f"{name} must be a short name, a module, or a callable that returns one, got {kind}")


def names() -> tuple[str, ...]:
    """Return the short names of all estimators."""
    return (*_ESTIMATORS, *FDIVERGENCES)
