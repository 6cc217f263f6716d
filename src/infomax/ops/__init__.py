"""Pairwise reductions: what every streamed objective is computed with.

Each op reduces the scores ``scale * <query, key>`` of a query over all keys of another group, without
the ``(M, K)`` table of scores ever existing as a whole. `use_backend` forces an implementation,
`use_workspace` bounds the memory that the blocks of scores may take.
"""

from infomax.ops.both_ways import pairwise_both_ways
from infomax.ops.pairwise import pairwise_logsumexp, pairwise_softplus, pairwise_with_joint
from infomax.ops.settings import use_backend, use_workspace

__all__ = [
    "pairwise_both_ways",
    "pairwise_logsumexp",
    "pairwise_softplus",
    "pairwise_with_joint",
    "use_backend",
    "use_workspace",
]
