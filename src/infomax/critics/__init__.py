"""Critics: what scores a pair of local and global features."""

from infomax.critics.base import Critic, PairwiseCritic
from infomax.critics.build import build_critic
from infomax.critics.concat import ConcatCritic
from infomax.critics.dot import BilinearCritic, CosineCritic, DotCritic
from infomax.critics.projections import Projection

__all__ = [
    "BilinearCritic",
    "ConcatCritic",
    "CosineCritic",
    "Critic",
    "DotCritic",
    "PairwiseCritic",
    "Projection",
    "build_critic",
]
