"""Critics: what scores a pair of local and global features."""

from infomax.critics.base import Critic, PairwiseCritic
from infomax.critics.baseline import GlobalBaseline
from infomax.critics.build import build_critic
from infomax.critics.concat import ConcatCritic
from infomax.critics.dot import BilinearCritic, CosineCritic, DotCritic
from infomax.critics.gaussian import GaussianCritic
from infomax.critics.lipschitz import LipschitzCritic, LipschitzLinear, spectral_norm_bound
from infomax.critics.penalty import gradient_penalty
from infomax.critics.projections import Projection

__all__ = [
    "BilinearCritic",
    "ConcatCritic",
    "CosineCritic",
    "Critic",
    "DotCritic",
    "GaussianCritic",
    "GlobalBaseline",
    "LipschitzCritic",
    "LipschitzLinear",
    "PairwiseCritic",
    "Projection",
    "build_critic",
    "gradient_penalty",
    "spectral_norm_bound",
]
