"""Estimators as modules: they store options and call :mod:`infomax.functional`.

Each turns the scores of joint and marginal pairs into a loss to minimise, and, apart from it, into an amount of
information in nats.
"""

from infomax.estimators.base import Bound, Estimator
from infomax.estimators.build import build_estimator
from infomax.estimators.donsker_varadhan import MINE, DonskerVaradhan
from infomax.estimators.fdivergence import NWJ, FDivergence
from infomax.estimators.flo import FLO
from infomax.estimators.infonce import InfoNCE
from infomax.estimators.jensen_shannon import SMILE, JensenShannon
from infomax.estimators.regularised import ScoreRegularised
from infomax.estimators.tuba import TUBA
from infomax.estimators.upper import CLUB, LeaveOneOut
from infomax.estimators.wasserstein import Wasserstein

__all__ = [
    "CLUB",
    "FLO",
    "MINE",
    "NWJ",
    "SMILE",
    "TUBA",
    "Bound",
    "DonskerVaradhan",
    "Estimator",
    "FDivergence",
    "InfoNCE",
    "JensenShannon",
    "LeaveOneOut",
    "ScoreRegularised",
    "Wasserstein",
    "build_estimator",
]
