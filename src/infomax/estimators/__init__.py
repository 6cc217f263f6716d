"""Estimators as modules: they store options and call :mod:`infomax.functional`.

Each turns the scores of joint and marginal pairs into a loss to minimise, and, apart from it, into an amount of
information in nats.
"""

from infomax.estimators.base import Bound, Estimator
from infomax.estimators.build import build_estimator
from infomax.estimators.donsker_varadhan import MINE, DonskerVaradhan
from infomax.estimators.fdivergence import NWJ, FDivergence
from infomax.estimators.infonce import InfoNCE
from infomax.estimators.jensen_shannon import SMILE, JensenShannon

__all__ = [
    "MINE",
    "NWJ",
    "SMILE",
    "Bound",
    "DonskerVaradhan",
    "Estimator",
    "FDivergence",
    "InfoNCE",
    "JensenShannon",
    "build_estimator",
]
