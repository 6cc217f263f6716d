"""A uniform variable with additive uniform noise: a density with sharp edges."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax._checks import check_number
from infomax.mi.tasks.task import Task

__all__ = ["additive_noise"]


def additive_noise(epsilon: float) -> Task:
    r"""Return the task with x uniform in (0, 1) and y = x + noise, with noise uniform in (-epsilon, epsilon).

    .. math:: I = \epsilon - \log 2 \epsilon \ \text{ if } \epsilon \le 1/2, \qquad 1 / (4 \epsilon) \ \text{ above}

    Args:
        epsilon: half the width of the noise.

    Raises:
        TypeError: ``epsilon`` is not a number.
        ValueError: ``epsilon`` is not positive.

    Example:
        >>> additive_noise(0.1)
        Task('1v1-additive-0.1', 1 x 1, 1.7094 nats)
    """
    if not check_number("epsilon", epsilon) > 0:
        raise ValueError(f"epsilon must be positive, got {epsilon}")

    def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        drawn = torch.rand(rows, 2, generator=generator, dtype=torch.float64)
        x = drawn[:, :1]
        return x, x + epsilon * (2 * drawn[:, 1:] - 1)

    nats = epsilon - math.log(2 * epsilon) if epsilon <= 0.5 else 0.25 / epsilon
    return Task(f"1v1-additive-{epsilon}", (1, 1), nats, draw)
