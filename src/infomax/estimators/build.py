"""The one place where an estimator's short name is looked up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import nn

from infomax._checks import check_choice
from infomax.estimators.base import Estimator
from infomax.estimators.donsker_varadhan import MINE, DonskerVaradhan
from infomax.estimators.fdivergence import NWJ, FDivergence
from infomax.estimators.infonce import InfoNCE
from infomax.estimators.jensen_shannon import SMILE, JensenShannon
from infomax.estimators.tuba import TUBA
from infomax.estimators.upper import CLUB, LeaveOneOut
from infomax.estimators.wasserstein import Wasserstein
from infomax.functional.fdivergence import MEASURES

__all__ = ["build_estimator", "names"]

_ESTIMATORS: dict[str, Callable[[], Estimator]] = {
    "infonce": InfoNCE,
    "jsd": JensenShannon,
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


def build_estimator(estimator: str | nn.Module) -> Estimator:
    """Return an estimator from its short name, or the module given.

    Args:
        estimator: ``"infonce"``, ``"jsd"``, ``"dv"``, ``"nwj"``, ``"smile"``, ``"mine"``, ``"tuba"``, ``"alpha_tuba"``
            (alpha 0.5), ``"wasserstein"``, ``"club"``, ``"leave_one_out"``, an f-divergence (``"kl"``, ``"rkl"``,
            ``"hellinger"``, ``"chi2"``, ``"gan"``), or a module with ``forward(scores)`` and
            ``mutual_information(scores)``.

    Raises:
        TypeError: it is neither a name nor such a module.
        ValueError: the name is unknown.
    """
    if isinstance(estimator, nn.Module):
        if not hasattr(estimator, "mutual_information"):
            raise TypeError(
                "estimator must offer mutual_information(scores) beside forward(scores), which "
                f"{type(estimator).__name__} does not; subclass infomax.estimators.Estimator"
            )
        return cast("Estimator", estimator)
    if not isinstance(estimator, str):
        raise TypeError(f"estimator must be a short name or a module, got {type(estimator).__name__}")
    check_choice("estimator", estimator, names())
    return _ESTIMATORS[estimator]() if estimator in _ESTIMATORS else FDivergence(estimator)


def names() -> tuple[str, ...]:
    """Short names of all estimators."""
    return (*_ESTIMATORS, *MEASURES)
