"""Deep InfoMax and related methods: learn and measure representations by mutual information.

The names below are the main public ones. The subpackages `infomax.encoders`, `infomax.evaluation` and
`infomax.training` load when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from infomax import critics, estimators, features, functional, losses, mi, ops, pairs, prior, scores, variants
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
from infomax.features import tap
from infomax.losses import DIMLoss, DIMTerms, GlobalDIMLoss, InfoMaxLoss, LocalDIMLoss
from infomax.mi import MIEstimate, estimate_mi
from infomax.prior import PriorMatchingLoss
from infomax.scores import PairScores
from infomax.variants import CoordinateLoss, occlude

if TYPE_CHECKING:
    from infomax import encoders, evaluation, training

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
    "InfoMaxLoss",
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
    "critics",
    "encoders",
    "estimate_mi",
    "estimators",
    "evaluation",
    "features",
    "functional",
    "losses",
    "mi",
    "occlude",
    "ops",
    "pairs",
    "prior",
    "scores",
    "tap",
    "training",
    "variants",
]

_LAZY = ("encoders", "evaluation", "training")


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return import_module(f"infomax.{name}")
    raise AttributeError(f"module 'infomax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
