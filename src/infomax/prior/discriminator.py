"""The network that tells samples of the prior from representations, and how steep it may be."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from infomax._precision import widened

__all__ = ["PriorDiscriminator", "judge", "slope_penalty"]


class PriorDiscriminator(nn.Sequential):
    r"""The paper's discriminator of prior samples from representations: linear 1000, 200, 1, with ReLU between.

    Args:
        dim: channels of the representation.
        hidden: widths of the hidden layers.

    Shapes:
        (K, dim) to (K, 1).

    Example:
        >>> import torch
        >>> from infomax.prior import PriorDiscriminator
        >>> PriorDiscriminator(64)(torch.rand(10, 64)).shape
        torch.Size([10, 1])
    """

    def __init__(self, dim: int, hidden: tuple[int, ...] = (1000, 200)) -> None:
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [_Layer(dim, width), nn.ReLU()]
            dim = width
        super().__init__(*layers, _Layer(dim, 1))

    # All that needs the weights happens in calls of the modules that own them: a module may have hooks that gather its
    # weights for a call, as those of FSDP2 do, and a parameter swapped from outside would miss them.
    def forward(self, rows: Tensor, *, frozen: int = 0, slope: bool = False) -> Tensor:
        """Score the rows.

        Args:
            rows: (K, dim).
            frozen: the last so many rows leave no gradient on the weights.
            slope: return the gradient of each row's score with respect to the row, (K, dim), in place of the score. It
                is computed without autograd, so it has itself a gradient for the weights, compiled or not.
        """
        if not all(isinstance(layer, nn.ReLU if index % 2 else _Layer) for index, layer in enumerate(self)):
            raise TypeError(
                "discriminator must keep its layers, linear ones with ReLU between, got "
                f"{', '.join(type(layer).__name__ for layer in self)}; to use others, assign an nn.Sequential of them "
                "to loss_fn.discriminator"
            )
        *hidden, last = [layer for layer in self if isinstance(layer, _Layer)]
        active: list[Tensor] = []
        for layer in hidden:
            rows = layer(rows, frozen=frozen)
            if slope:
                active.append(rows.detach() > 0)
            rows = rows.relu()
        result: Tensor
        if not slope:
            result = last(rows, frozen=frozen)
            return result
        result = last(rows.new_ones(len(rows), 1), back=True)
        for layer, passes in zip(hidden[::-1], active[::-1], strict=True):
            result = layer(torch.where(passes, result, 0.0), back=True)
        return result


class _Layer(nn.Linear):
    def forward(self, rows: Tensor, *, frozen: int = 0, back: bool = False) -> Tensor:
        if back:
            return nnf.linear(rows, self.weight.T)
        if not frozen:
            return super().forward(rows)
        free, fixed = rows.tensor_split([len(rows) - frozen])
        return torch.cat([super().forward(free), nnf.linear(fixed, self.weight.detach(), self.bias.detach())])


def judge(discriminator: nn.Module, rows: Tensor, frozen: int) -> Tensor:
    """Score rows (K, d); the last ``frozen`` of them leave no gradient on the discriminator's weights."""
    if isinstance(discriminator, PriorDiscriminator):
        scores: Tensor = discriminator(rows, frozen=frozen)
        return scores
    if any(hasattr(weight, "full_tensor") for weight in discriminator.parameters()):
        # Hooks of the module gather its weights for a call, in place of the ones held constant here.
        raise NotImplementedError(
            "discriminator must not be sharded by itself where it is a module of your own, got "
            f"{type(discriminator).__name__} with sharded weights; apply fully_shard to the PriorMatchingLoss instead"
        )
    free, fixed = rows.tensor_split([len(rows) - frozen])
    held = {name: value.detach() for name, value in discriminator.named_parameters()}
    return torch.cat([discriminator(free), torch.func.functional_call(discriminator, held, (fixed,))])


def slope_penalty(discriminator: nn.Module, points: Tensor, centre: float) -> Tensor:
    r"""How far the discriminator's slope is from ``centre`` at some points.

    .. math:: \mathbb{E}_v\big[ (\|\nabla_v D(v)\| - c)^2 \big]

    Args:
        discriminator: rows (K, d) to scores (K, 1), each of its own row only.
        points: rows (K, d), taken as constants.
        centre: c; with 0 it is the mean square of the slope.

    Returns:
        Scalar, float32 at least, with gradients for the discriminator's weights alone.
    """
    squares = widened(_slopes(discriminator, points.detach())).square().sum(1)
    if centre == 0:
        return squares.mean()
    # The root has no derivative at 0, where a discriminator of constant score stands.
    norms = torch.where(squares > 0, squares, 1.0).sqrt().where(squares > 0, 0.0)
    return (norms - centre).square().mean()


def _slopes(discriminator: nn.Module, points: Tensor) -> Tensor:
    if isinstance(discriminator, PriorDiscriminator):
        slopes: Tensor = discriminator(points, slope=True)
        return slopes
    differentiable = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        points = points.clone().requires_grad_()
        (slopes,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=differentiable)
    return slopes
