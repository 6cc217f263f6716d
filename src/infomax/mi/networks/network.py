"""Many small networks in one: a member for each fold and kind, trained by the same few operations."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["StackedCritic"]

_UNITS = 1_000_000  # of hidden layers that are held at a time: as many as stay in a processor's cache


class StackedCritic(nn.Module):
    r"""What members add to the score they start from: nothing at first.

    .. math:: T(x, y) = \beta \, T_0(x, y) + w^\top h\big( \mathrm{relu}(A x + B y + c \, T_0(x, y) + b) \big)

    with :math:`\beta = 1` and :math:`w = 0` at the start. The first layer takes x and y apart, so its products are
    made once a row and not once a pair.

    Args:
        members: networks M.
        inputs: features of a row of x and of a row of y.
        hidden: units of each hidden layer.
        generator: of the first weights, on the CPU.
    """

    def __init__(
        self, members: int, inputs: tuple[int, int], hidden: tuple[int, ...], *, generator: torch.Generator
    ) -> None:
        super().__init__()
        float32 = torch.float32  # as features are, whatever the default is

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
        """(M,), whether a member is anything but the score it starts from."""
        return (self.output != 0).flatten(1).any(1) | (self.gain != 1).any(1)

    def part(self, members: Tensor) -> StackedCritic:
        """Return a copy that holds some of the members."""
        some = copy.deepcopy(self)
        for parameter in some.parameters():
            parameter.data = parameter.data[members].clone()
        return some

    def rows(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """First products of rows (M, n, features): (M, n, units) of each side."""
        return torch.bmm(x, self.from_x), torch.baddbmm(self.bias, y, self.from_y)

    def pairs(self, of_x: Tensor, of_y: Tensor, partner: Tensor, start: Tensor) -> Tensor:
        """Scores (M, n, K) of pairs, in parts that stay in a processor's cache.

        Args:
            of_x: (M, n, units), of :meth:`rows`.
            of_y: (M, N, units).
            partner: (n, K), rows of y that each row of x meets.
            start: (M, n, K), the scores they start from.
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
