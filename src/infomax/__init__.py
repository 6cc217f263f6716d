"""Deep InfoMax and its relatives: learn and measure representations by mutual information."""

from infomax import functional, ops
from infomax.critics import (
    BilinearCritic,
    ConcatCritic,
    CosineCritic,
    Critic,
    DotCritic,
    GaussianCritic,
    LipschitzCritic,
    PairwiseCritic,
)
from infomax.estimation import MIEstimate, estimate_mi
from infomax.estimators import (
    CLUB,
    FLO,
    MINE,
    NWJ,
    SMILE,
    TUBA,
    DonskerVaradhan,
    Estimator,
    FDivergence,
    InfoNCE,
    JensenShannon,
    LeaveOneOut,
    ScoreRegularised,
    Wasserstein,
)
from infomax.losses import CoordinateLoss, DIMLoss, DIMTerms, GlobalDIMLoss, LocalDIMLoss
from infomax.occlusion import occlude
from infomax.prior import PriorMatchingLoss
from infomax.scores import PairScores

__version__ = "0.1.0"

__all__ = [
    "CLUB",
    "FLO",
    "MINE",
    "NWJ",
    "SMILE",
    "TUBA",
    "BilinearCritic",
    "ConcatCritic",
    "CoordinateLoss",
    "CosineCritic",
    "Critic",
    "DIMLoss",
    "DIMTerms",
    "DonskerVaradhan",
    "DotCritic",
    "Estimator",
    "FDivergence",
    "GaussianCritic",
    "GlobalDIMLoss",
    "InfoNCE",
    "JensenShannon",
    "LeaveOneOut",
    "LipschitzCritic",
    "LocalDIMLoss",
    "MIEstimate",
    "PairScores",
    "PairwiseCritic",
    "PriorMatchingLoss",
    "ScoreRegularised",
    "Wasserstein",
    "estimate_mi",
    "functional",
    "occlude",
    "ops",
]
