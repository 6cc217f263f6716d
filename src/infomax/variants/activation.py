"""A penalty on the size of features."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import check_floating, check_same_device, shape_of
from infomax._precision import widened
from infomax.pairs.checks import check_mask_dtype, check_mask_shape, check_some_present

__all__ = ["activation_penalty"]


def activation_penalty(features: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Compute the mean squared length of feature vectors.

    .. math:: \frac{1}{|\mathcal{P}|} \sum_{p \in \mathcal{P}} \sum_{c} x_{pc}^2

    over the real locations :math:`\mathcal{P}` of all examples. Add this penalty, with a small weight, to an objective
    whose scores grow without bound: the scores of a dot critic grow with the length of the features.

    Args:
        features: (N, c) or (N, c, \*spatial): global features, a map, or the projections of features in a critic.
        mask: (N, \*spatial), bool, True at a real location; all locations are real when None.

    Returns:
        Scalar, float32 (float64 for float64 features); no unit.

    Raises:
        TypeError: the features are not real floating, or the mask is not bool.
        ValueError: there are no features, or the mask does not fit them or leaves no real location.

    Numerics:
        Squares and their mean are float32 at least. The values at masked locations have no influence.

    Source:
        The option ``act_penalty`` of the Deep InfoMax authors' code, which applies it to the critic's projections of
        the globals. The paper does not mention it.

    Example:
        >>> import torch
        >>> from infomax import LocalDIMLoss
        >>> from infomax.variants import activation_penalty
        >>> activation_penalty(torch.ones(4, 64))
        tensor(64.)
        >>> loss_fn = LocalDIMLoss(local_dim=16, global_dim=8, units=32)
        >>> scores = loss_fn.scores(torch.randn(4, 16, 2, 2), torch.randn(4, 8))
        >>> loss = loss_fn.estimator(scores) + 1e-3 * activation_penalty(scores.query)  # as the authors do
    """
    check_floating("features", features)
    if features.ndim < 2 or 0 in features.shape:
        raise ValueError(
            f"features must have shape (N, c) or (N, c, *spatial), none of them 0, got {shape_of(features)}"
        )
    if mask is None:
        return _squares(features).mean()
    check_mask_dtype(mask)
    check_same_device(features=features, mask=mask)
    check_mask_shape("features", features, mask, (features.shape[0], *features.shape[2:]))
    check_some_present(mask, "mask must leave at least one real location, got none")
    return _squares(torch.where(mask.unsqueeze(1), features, 0.0)).sum() / mask.sum()


def _squares(features: Tensor) -> Tensor:
    """Return the squared length of every vector, (N, *spatial)."""
    return widened(features).square().sum(1)
