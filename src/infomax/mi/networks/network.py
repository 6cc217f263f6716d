"""Many small networks in one: a member for each fold and kind, trained by the same few operations."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["StackedCritic"]


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

        def drawn(rows: int, columns: int, scale: float) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(members, rows, columns, generator=generator))

        scale = sum(inputs) ** -0.5
        self.from_x = drawn(inputs[0], hidden[0], scale)
        self.from_y = drawn(inputs[1], hidden[0], scale)
        self.from_start = drawn(1, hidden[0], 0.3)
        self.bias = drawn(1, hidden[0], 0.5)
        sizes = list(pairwise(hidden))
        self.weights = nn.ParameterList([drawn(before, after, (2 / before) ** 0.5) for before, after in sizes])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(members, 1, after)) for _, after in sizes])
        self.output = nn.Parameter(torch.zeros(members, hidden[-1], 1))
        self.gain = nn.Parameter(torch.ones(members, 1))

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

    def pairs(self, met: Tensor, start: Tensor) -> Tensor:
        """Scores (M, B) of pairs, from their sums of :meth:`rows`, (M, B, units), and first scores, (M, B)."""
        units = torch.relu(met + start.unsqueeze(-1) * self.from_start)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            units = torch.relu(torch.baddbmm(bias, units, weight))
        return self.gain * start + torch.bmm(units, self.output).squeeze(-1)
