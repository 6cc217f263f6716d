"""Pairwise reductions, from which all streamed scores are computed.

Each op reduces the scores ``scale * <query, key>`` of every query over all keys of another group. The ``(M, K)`` table
of scores is computed in blocks and stored whole only if it fits in the workspace. `use_backend` forces an
implementation; `use_workspace` bounds the memory of the blocks.
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
