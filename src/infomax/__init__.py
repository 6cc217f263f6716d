"""Deep InfoMax and its relatives: learn and measure representations by mutual information."""

from infomax import functional, ops
from infomax.critics import BilinearCritic, ConcatCritic, CosineCritic, Critic, DotCritic, PairwiseCritic
from infomax.estimators import (
    MINE,
    NWJ,
    SMILE,
    DonskerVaradhan,
    Estimator,
    FDivergence,
    InfoNCE,
    JensenShannon,
)
from infomax.losses import CoordinateLoss, DIMLoss, DIMTerms, GlobalDIMLoss, LocalDIMLoss
from infomax.occlusion import occlude
from infomax.prior import PriorMatchingLoss
from infomax.scores import PairScores

__version__ = "0.1.0"

__all__ = [
    "MINE",
    "NWJ",
    "SMILE",
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
    "GlobalDIMLoss",
    "InfoNCE",
    "JensenShannon",
    "LocalDIMLoss",
    "PairScores",
    "PairwiseCritic",
    "PriorMatchingLoss",
    "functional",
    "occlude",
    "ops",
]
