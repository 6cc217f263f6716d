"""A penalty on a critic's gradient, which keeps the critic approximately Lipschitz."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from infomax._checks import check_floating, check_generator, check_holds_values, check_number
from infomax._precision import widened
from infomax._random import drawing_from
from infomax.critics import Critic
from infomax.pairs import Pairing, pair_rows

__all__ = ["gradient_penalty"]


def gradient_penalty(
    critic: Critic,
    local: Tensor,
    global_: Tensor,
    mask: Tensor | None = None,
    *,
    target: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Compute how far the norm of a critic's gradient is from a given value, between joint and marginal pairs.

    .. math:: \mathbb{E}\Big[ \big( \| \nabla_{x, y} \, T(\hat x, y) \| - g \big)^2 \Big], \qquad
              \hat x = t \, x^+ + (1 - t) \, x^-, \quad t \sim U(0, 1)

    For each global, a local :math:`x^+` of its own example, a local :math:`x^-` of another example and a point between
    them are drawn. Add the penalty, with a weight of about 10, to :func:`~infomax.functional.wasserstein_loss`; it
    trains the critic alone.

    Args:
        critic: a critic that scores each pair by itself. It must not hold batch norm, as :class:`~infomax.DotCritic`
            does: batch norm mixes pairs, and would record statistics of points that are not features.
        local: local features, (N, c, \*spatial).
        global_: global features, (N, d) or (N, d, \*spatial).
        mask: bool, (N, \*spatial), True at a real location.
        target: g, the desired norm.
        generator: the generator of the draws; torch's global one when None.

    Returns:
        Scalar, with a gradient for the critic's parameters and none for the features.

    Raises:
        TypeError: a dtype does not fit, or ``target`` is not a number.
        ValueError: a shape, a batch size or a device does not fit, or the critic holds batch norm.

    Numerics:
        The gradient of the penalty needs second derivatives of the critic. Where the critic's gradient is 0, the
        derivative of its norm is taken as 0. The penalty is also computed under `torch.no_grad` and
        `torch.inference_mode`, which Lightning uses in validation.

    Source:
        Gulrajani et al. 2017 (WGAN-GP), eq. 3; Ozair et al. 2019, section 4.

    Example:
        >>> import torch
        >>> from infomax import BilinearCritic, functional as F
        >>> from infomax.variants import gradient_penalty
        >>> critic = BilinearCritic(16, 8)
        >>> local, global_ = torch.randn(4, 16, 2, 2), torch.randn(4, 8)
        >>> loss = F.wasserstein_loss(critic(local, global_)) + 10 * gradient_penalty(critic, local, global_)
        >>> loss.backward()
    """
    if not isinstance(critic, Critic):
        raise TypeError(f"critic must be an infomax.Critic, got {type(critic).__name__}; PairwiseCritic makes one")
    target = check_number("target", target)
    check_generator(generator)
    check_floating("local", local)
    check_floating("global_", global_)
    if any(isinstance(module, _BatchNorm) for module in critic.modules()):
        raise ValueError(
            f"critic must score each pair by itself, got {type(critic).__name__} with batch norm, which mixes pairs; "
            "use a BilinearCritic, a CosineCritic or a ConcatCritic"
        )
    check_holds_values(local=local)
    rows = pair_rows(local.detach(), global_.detach(), mask)
    critic.check(local, global_)
    pairing = rows.pairing
    example, y = pairing.query_group, rows.global_
    size = torch.bincount(pairing.key_example, minlength=pairing.examples)
    last, size = size.cumsum(0)[example], size[example]

    draw = torch.rand(3, len(y), device=y.device, **drawing_from(generator))
    # Rows are sorted by example, so the rows of other examples follow the example's own rows, cyclically.
    total = len(rows.local)
    own = last - size + _index(draw[0], size)
    other = (last + _index(draw[1], total - size)) % total
    weight = draw[2].to(rows.local.dtype)[:, None]
    x = weight * rows.local[own] + (1 - weight) * rows.local[other]

    with torch.inference_mode(False), torch.enable_grad():
        x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
        pairs = Pairing(len(y), 1, torch.arange(len(y), device=y.device), locations=1)
        score = critic.score_rows(x, y, pairs).joint()
        by_x, by_y = torch.autograd.grad(score.sum(), (x, y), create_graph=True)
    squared = widened(by_x).square().sum(-1) + widened(by_y).square().sum(-1)
    norm = torch.where(squared > 0, squared, 1.0).sqrt().where(squared > 0, 0.0)
    return (norm - target).square().mean()


def _index(uniform: Tensor, size: Tensor) -> Tensor:
    """Return an integer in [0, size), from a uniform number in [0, 1)."""
    return torch.minimum((uniform * size).long(), size - 1)
