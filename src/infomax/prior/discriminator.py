"""The discriminator between samples of the prior and representations, and a penalty on its slope."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from infomax._checks import check_positive, check_sizes, shape_of
from infomax._precision import check_rows, widened

__all__ = ["PriorDiscriminator", "score_rows", "slope_penalty"]


class PriorDiscriminator(nn.Sequential):
    r"""The paper's discriminator: linear layers with 1000, 200 and 1 outputs, and ReLU between them.

    Args:
        dim: channels of the representation.
        hidden: widths of the hidden layers.

    Shapes:
        (K, dim) to (K, 1).

    Raises:
        TypeError: ``dim`` or a width is not an integer, or the rows are not of the dtype of the parameters.
        ValueError: ``dim`` or a width is below 1, or the rows do not have ``dim`` channels.

    Example:
        >>> import torch
        >>> from infomax.prior import PriorDiscriminator
        >>> PriorDiscriminator(64)(torch.rand(10, 64)).shape
        torch.Size([10, 1])
    """

    def __init__(self, dim: int, hidden: tuple[int, ...] = (1000, 200)) -> None:
        dim = check_positive("dim", dim)
        layers: list[nn.Module] = []
        for width in check_sizes("hidden", hidden, at_least=0):
            layers += [_Layer(dim, width), nn.ReLU()]
            dim = width
        super().__init__(*layers, _Layer(dim, 1))

    # Weights are used only inside calls of the modules that own them. A module may have hooks that gather its weights
    # for a call, as with FSDP2; a parameter that is replaced from outside would bypass these hooks.
    def forward(self, rows: Tensor, *, frozen: int = 0, slope: bool = False) -> Tensor:
        """Score the rows.

        Args:
            rows: (K, dim).
            frozen: number of rows at the end that give no gradient to the weights.
            slope: whether to return the gradient of each score with respect to its row, (K, dim), instead of the score.
                It is computed without autograd, so it is itself differentiable in the weights, compiled or not.
        """
        if not all(isinstance(layer, nn.ReLU if index % 2 else _Layer) for index, layer in enumerate(self)):
            raise TypeError(
                "discriminator must keep its layers, linear ones with ReLU between, got "
                f"{', '.join(type(layer).__name__ for layer in self)}; to use others, assign an nn.Sequential of them "
                "to loss_fn.discriminator"
            )
        if slope and isinstance(rows, Tensor) and rows.ndim != 2:
            raise ValueError(f"rows must have shape (K, {self[0].in_features}), got {shape_of(rows)}")
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
        check_rows(self, rows, self.in_features)
        if not frozen:
            return super().forward(rows)
        free, fixed = rows.tensor_split([len(rows) - frozen])
        return torch.cat([super().forward(free), nnf.linear(fixed, self.weight.detach(), self.bias.detach())])


def score_rows(discriminator: nn.Module, rows: Tensor, frozen: int) -> Tensor:
    """Score rows (K, d); the last ``frozen`` rows give no gradient to the discriminator's weights."""
    if isinstance(discriminator, PriorDiscriminator):
        scores: Tensor = discriminator(rows, frozen=frozen)
        return scores
    if any(hasattr(weight, "full_tensor") for weight in discriminator.parameters()):
        # The hooks of the module would gather its weights for the call, in place of the constant weights used below.
        raise NotImplementedError(
            "discriminator must not be sharded by itself where it is a module of your own, got "
            f"{type(discriminator).__name__} with sharded weights; apply fully_shard to the PriorMatchingLoss instead"
        )
    free, fixed = rows.tensor_split([len(rows) - frozen])
    held = {name: value.detach() for name, value in discriminator.named_parameters()}
    return torch.cat([discriminator(free), torch.func.functional_call(discriminator, held, (fixed,))])


def slope_penalty(discriminator: nn.Module, points: Tensor, centre: float) -> Tensor:
    r"""Compute the mean squared deviation of the discriminator's slope from ``centre`` at given points.

    .. math:: \mathbb{E}_v\big[ (\|\nabla_v D(v)\| - c)^2 \big]

    Args:
        discriminator: a module from rows (K, d) to scores (K, 1), each of which depends on its own row only.
        points: rows (K, d), which get no gradient.
        centre: c; with 0, the result is the mean squared slope.

    Returns:
        Scalar, float32 at least, with gradients for the discriminator's weights alone.
    """
    squares = widened(_slopes(discriminator, points.detach())).square().sum(1)
    if centre == 0:
        return squares.mean()
    # The root has no derivative at 0, which is the slope of a discriminator with constant scores.
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
