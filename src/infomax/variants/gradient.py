"""A penalty that keeps any critic near Lipschitz."""

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
    r"""How far a critic's gradient is from a given norm between joint and marginal pairs.

    .. math:: \mathbb{E}\Big[ \big( \| \nabla_{x, y} \, T(\hat x, y) \| - g \big)^2 \Big], \qquad
              \hat x = t \, x^+ + (1 - t) \, x^-, \quad t \sim U(0, 1)

    One pair is drawn for each global: a local of its own example, one of another, and a point between them. Add it,
    times 10 or so, to :func:`~infomax.functional.wasserstein_loss`; it trains the critic alone.

    Args:
        critic: scores each pair by itself. It must not hold batch norm, as :class:`~infomax.DotCritic` does: that mixes
            pairs, and would record the statistics of points that are no features.
        local: local features, (N, c, \*spatial).
        global_: global features, (N, d) or (N, d, \*spatial).
        mask: bool, (N, \*spatial), True at a real location.
        target: g, the norm wanted.
        generator: where the draws come from; torch's global one when None.

    Returns:
        Scalar, with a gradient for the critic's parameters and none for the features.

    Raises:
        TypeError: a dtype does not fit, or target is no number.
        ValueError: a shape, a batch size or a device does not fit, or the critic holds batch norm.

    Numerics:
        Differentiates twice. The root of a squared gradient of 0 has the gradient 0. It is also computed under
        `torch.no_grad` and `torch.inference_mode`, in which Lightning validates.

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
    # Rows are sorted by example: those of the others begin where the own ones end, and go around.
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
    """A whole number in [0, size), from a uniform one in [0, 1)."""
    return torch.minimum((uniform * size).long(), size - 1)
