"""A sampler with known mutual information."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from infomax._checks import check_positive
from infomax._random import as_generator

__all__ = ["Map", "Task", "check_maps", "transformed"]

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Task:
    """A sampler of pairs (x, y), and the mutual information of x and y.

    Attributes:
        name: name of the task.
        dims: numbers of coordinates of x and of y.
        nats: the mutual information; ``inf`` where a continuous side is a function of the other.
        error: standard error of ``nats`` if it was averaged over draws, 0 if it is a formula.
        draw: function of a number of pairs and a CPU generator; it returns x and y, float64, or int64 where a side is
            discrete.
    """

    name: str
    dims: tuple[int, int]
    nats: float
    draw: Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
    error: float = 0.0

    def sample(self, rows: int, seed: int) -> tuple[Tensor, Tensor]:
        """Draw pairs: x (rows, dx) and y (rows, dy), float64, or int64 where a side is discrete.

        Raises:
            TypeError: ``rows`` or ``seed`` is not an integer.
            ValueError: ``rows`` is below 1, or ``seed`` is not between 0 and 2^64 - 1.

        Example:
            >>> from infomax.mi.tasks import dense_gaussian
            >>> x, y = dense_gaussian(3, 2).sample(100, seed=0)
            >>> x.shape, y.shape
            (torch.Size([100, 3]), torch.Size([100, 2]))
        """
        if not isinstance(seed, Integral) or isinstance(seed, bool):
            raise TypeError(f"seed must be an integer, got {type(seed).__name__}")
        return self.draw(check_positive("rows", rows), as_generator(seed, "seed"))

    def __repr__(self) -> str:
        return f"Task({self.name!r}, {self.dims[0]} x {self.dims[1]}, {self.nats:.4f} nats)"


def transformed(task: Task, name: str, of_x: Map | None = None, of_y: Map | None = None) -> Task:
    """Return the task with an invertible map applied to each side, which leaves the information unchanged.

    Args:
        task: the task.
        name: prefix of the new name.
        of_x: map of rows of x, (n, dx) to (n, dx'); when None, x stays as it is.
        of_y: map of rows of y, likewise.

    Raises:
        TypeError: ``task`` is not a task, or a map is not a function.

    Example:
        >>> from infomax.mi.tasks import dense_gaussian, transformed
        >>> transformed(dense_gaussian(1, 1, 0.75), "cubed", lambda x: x**3)
        Task('cubed-multinormal-dense-1-1-0.75', 1 x 1, 0.4133 nats)
    """
    if not isinstance(task, Task):
        raise TypeError(f"task must be a Task, such as dense_gaussian(1, 1), got {type(task).__name__}")
    check_maps(of_x=of_x, of_y=of_y)

    def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = task.draw(rows, generator)
        return x if of_x is None else of_x(x), y if of_y is None else of_y(y)

    probe_x, probe_y = draw(2, torch.Generator().manual_seed(0))
    return Task(f"{name}-{task.name}", (probe_x.shape[1], probe_y.shape[1]), task.nats, draw, task.error)


def check_maps(**maps: Map | None) -> None:
    """Raise ``TypeError`` unless each map, given under the name of its argument, is a function or None."""
    for name, map_ in maps.items():
        if map_ is not None and not callable(map_):
            raise TypeError(f"{name} must be a function of rows (n, d) or None, got {type(map_).__name__}")
