"""Many small networks in one module: one member per fold and kind, all computed by the same few operations."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["StackedCritic"]

_UNITS = 1_000_000  # of hidden layers computed at a time, so that they stay in the processor's cache


class StackedCritic(nn.Module):
    r"""Small networks in one module: each corrects the score that it starts from, and leaves it unchanged at first.

    .. math:: T(x, y) = \beta \, T_0(x, y) + w^\top h\big( \mathrm{relu}(A x + B y + c \, T_0(x, y) + b) \big)

    Here h stands for the further hidden layers. At first :math:`\beta = 1` and :math:`w = 0`. The first layer is linear
    in x and in y, so its products are computed once per row and not once per pair.

    Args:
        members: number of networks M.
        inputs: numbers of features of a row of x and of a row of y.
        hidden: units of each hidden layer.
        generator: CPU generator of the initial weights.
    """

    def __init__(
        self, members: int, inputs: tuple[int, int], hidden: tuple[int, ...], *, generator: torch.Generator
    ) -> None:
        super().__init__()
        float32 = torch.float32  # the dtype of the features, whatever the default dtype is

        def drawn(rows: int, columns: int, scale: float) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(members, rows, columns, generator=generator, dtype=float32))

        scale = sum(inputs) ** -0.5
        self.from_x = drawn(inputs[0], hidden[0], scale)
        self.from_y = drawn(inputs[1], hidden[0], scale)
        self.from_start = drawn(1, hidden[0], 0.3)
        self.bias = drawn(1, hidden[0], 0.5)
        sizes = list(pairwise(hidden))
        self.weights = nn.ParameterList([drawn(before, after, (2 / before) ** 0.5) for before, after in sizes])
        self.biases = nn.ParameterList(
            [nn.Parameter(torch.zeros(members, 1, after, dtype=float32)) for _, after in sizes]
        )
        self.output = nn.Parameter(torch.zeros(members, hidden[-1], 1, dtype=float32))
        self.gain = nn.Parameter(torch.ones(members, 1, dtype=float32))

    @property
    def learnt(self) -> Tensor:
        """(M,), whether each member differs from the score it starts from."""
        return (self.output != 0).flatten(1).any(1) | (self.gain != 1).any(1)

    def part(self, members: Tensor) -> StackedCritic:
        """Return a copy that holds only the given members."""
        some = copy.deepcopy(self)
        for parameter in some.parameters():
            parameter.data = parameter.data[members].clone()
        return some

    def rows(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first layer's products with rows (M, n, features): (M, n, units) for each side."""
        return torch.bmm(x, self.from_x), torch.baddbmm(self.bias, y, self.from_y)

    def pairs(self, of_x: Tensor, of_y: Tensor, partner: Tensor, start: Tensor) -> Tensor:
        """Return the scores (M, n, K) of pairs, computed in parts that stay in the processor's cache.

        Args:
            of_x: (M, n, units), from :meth:`rows`.
            of_y: (M, N, units), likewise.
            partner: (n, K), rows of y with which each row of x is paired.
            start: (M, n, K), the scores that the members start from.
        """
        size = max(1, _UNITS // (len(of_x) * of_x.shape[2] * max(1, partner.shape[1])))
        parts = zip(torch.split(of_x, size, 1), torch.split(partner, size), torch.split(start, size, 1), strict=True)
        return torch.cat([self._pairs(x, of_y, met, begun) for x, met, begun in parts], 1)

    def _pairs(self, of_x: Tensor, of_y: Tensor, partner: Tensor, start: Tensor) -> Tensor:
        met = of_y.index_select(1, partner.flatten()).view(len(of_y), *partner.shape, -1) + of_x.unsqueeze(2)
        begun = start.flatten(1)
        units = torch.baddbmm(met.flatten(1, 2), begun.unsqueeze(2), self.from_start).relu_()
        for weight, bias in zip(self.weights, self.biases, strict=True):
            units = torch.baddbmm(bias, units, weight).relu_()
        return (self.gain * begun + torch.bmm(units, self.output).squeeze(2)).view_as(start)
