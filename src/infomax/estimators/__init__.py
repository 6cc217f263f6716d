"""Estimators: one family per file, with its pure functions of scores and its module.

Each estimator turns the scores of joint and marginal pairs into a loss to minimise and, separately, into an estimate of
the information in nats. :mod:`infomax.functional` lists all the functions.
"""

from infomax.estimators.base import Bound, Estimator, OptimalCritic
from infomax.estimators.build import EstimatorLike, build_estimator
from infomax.estimators.donsker_varadhan import DonskerVaradhan
from infomax.estimators.fdivergence import FDivergence
from infomax.estimators.flo import FLO
from infomax.estimators.infonce import InfoNCE
from infomax.estimators.jensen_shannon import JensenShannon, Logistic
from infomax.estimators.mine import MINE
from infomax.estimators.nwj import NWJ
from infomax.estimators.regularised import ScoreRegularised
from infomax.estimators.smile import SMILE
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
    "EstimatorLike",
    "FDivergence",
    "InfoNCE",
    "JensenShannon",
    "LeaveOneOut",
    "Logistic",
    "OptimalCritic",
    "ScoreRegularised",
    "Wasserstein",
    "build_estimator",
]
