"""The network that tells samples of the prior from representations, and how steep it may be."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infomax._precision import widened

__all__ = ["PriorDiscriminator", "slope_penalty"]


class PriorDiscriminator(nn.Sequential):
    """The paper's discriminator of prior samples from representations: linear 1000, 200, 1, with ReLU between.

    Args:
        dim: channels of the representation.
        hidden: widths of the hidden layers.

    Example:
        >>> import torch
        >>> from infomax.prior import PriorDiscriminator
        >>> PriorDiscriminator(64)(torch.rand(10, 64)).shape
        torch.Size([10, 1])
    """

    def __init__(self, dim: int, hidden: tuple[int, ...] = (1000, 200)) -> None:
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(dim, width), nn.ReLU()]
            dim = width
        super().__init__(*layers, nn.Linear(dim, 1))


def slope_penalty(discriminator: nn.Module, points: Tensor, centre: float) -> Tensor:
    r"""How far the discriminator's slope is from ``centre`` at some points.

    .. math:: \mathbb{E}_v\big[ (\|\nabla_v D(v)\| - c)^2 \big]

    Args:
        discriminator: rows (K, d) to scores (K, 1), each of its own row only.
        points: rows (K, d), taken as constants.
        centre: c; with 0 it is the mean square of the slope.

    Returns:
        Scalar, float32 at least, with gradients for the discriminator's weights alone. `torch.compile` leaves it as it
        is: compiled code has no second derivatives.
    """
    if not torch.compiler.is_compiling():
        return _slope_penalty(discriminator, points, centre)
    uncompiled = torch.compiler.disable(_slope_penalty)  # type: ignore[no-untyped-call]  # here: it loads the compiler
    penalty: Tensor = uncompiled(discriminator, points, centre)
    return penalty


def _slope_penalty(discriminator: nn.Module, points: Tensor, centre: float) -> Tensor:
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=differentiable)
    squares = widened(slope).square().sum(1)
    if centre == 0:
        return squares.mean()
    # The root has no derivative at 0, where a discriminator of constant score stands.
    norms = torch.where(squares > 0, squares, 1.0).sqrt().where(squares > 0, 0.0)
    return (norms - centre).square().mean()
