"""A penalty on large scores (Bachman et al. 2019)."""

from __future__ import annotations

from torch import Tensor

from infomax.scores import PairScores

__all__ = ["mean_square"]


def mean_square(scores: PairScores) -> Tensor:
    r"""Mean of the squared scores of all pairs, joint and marginal.

    .. math:: \frac{1}{J + \sum_y K_y} \Big( \sum_\mathrm{joint} T^2 + \sum_\mathrm{marginal} T^2 \Big)

    Added to a loss with a small weight it keeps scores from growing without end.

    Args:
        scores: joint and marginal scores.

    Returns:
        Scalar, float32 (float64 for float64 scores); the square of the scores' unit.

    Numerics:
        Overflows float32 at scores of 1e19.

    Source:
        Bachman, Hjelm & Buchwalter 2019 (AMDIM).

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.mean_square(F.dense_scores(torch.full((4, 4), 3.0)))
        tensor(9.)
    """
    joint, squares = scores.reduce("square_sum")
    pairs = scores.count().to(squares.dtype).sum() + joint.numel()
    return (joint.square().sum() + squares.sum()) / pairs
