"""Critics: modules that score pairs of local and global features."""

from infomax.critics.base import Critic, PairwiseCritic
from infomax.critics.baseline import GlobalBaseline
from infomax.critics.build import CriticLike, build_critic
from infomax.critics.concat import ConcatCritic
from infomax.critics.dot import BilinearCritic, CosineCritic, DotCritic
from infomax.critics.gaussian import GaussianCritic
from infomax.critics.lipschitz import LipschitzCritic, LipschitzLinear, spectral_norm_bound
from infomax.critics.normalisation import BatchNorm
from infomax.critics.projections import Projection
from infomax.critics.scale import LearnedScale

__all__ = [
    "BatchNorm",
    "BilinearCritic",
    "ConcatCritic",
    "CosineCritic",
    "Critic",
    "CriticLike",
    "DotCritic",
    "GaussianCritic",
    "GlobalBaseline",
    "LearnedScale",
    "LipschitzCritic",
    "LipschitzLinear",
    "PairwiseCritic",
    "Projection",
    "build_critic",
    "spectral_norm_bound",
]
