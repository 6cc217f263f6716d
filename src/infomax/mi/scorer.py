"""Log density ratios of new rows, which took no part in the estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from infomax._precision import without_autocast_anywhere
from infomax.mi.input.columns import Column, as_columns
from infomax.mi.input.inputs import Values
from infomax.mi.input.sides import Encoder
from infomax.mi.input.titles import in_order_of
from infomax.mi.networks.candidates import Candidates
from infomax.mi.networks.network import StackedCritic
from infomax.mi.networks.stack import Stack, View
from infomax.mi.reading.mixing import Mixture

__all__ = ["Scorer", "columns_of_new"]


@dataclass(frozen=True)
class Scorer:
    """The critics of all folds, for new rows.

    Args:
        encoders: encoders of x and of y.
        views: the maps of each fold.
        network: the members.
        mixtures: the mixture of each fold.
    """

    encoders: tuple[Encoder, Encoder]
    views: list[View]
    network: StackedCritic
    mixtures: list[Mixture]

    @without_autocast_anywhere()
    def __call__(self, x: Values | list[Column], y: Values, given: Values | None = None) -> Tensor:
        """Return the log density ratio of each row, (n,), nats: the mean over folds.

        Raises:
            TypeError: ``given`` is not None, although the estimate had none.
            ValueError: other columns than those of the estimate, or lengths that differ.
        """
        if given is not None:
            raise TypeError(f"given must be None, as the estimate had none, got {type(given).__name__}")
        of_x, of_y = (
            _encoded(name, given, encoder, self.network.bias.device)
            for name, given, encoder in zip("xy", (x, y), self.encoders, strict=True)
        )
        if len(of_x) != len(of_y):
            raise ValueError(f"x and y must have the same number of rows, got {len(of_x)} and {len(of_y)}")
        stack = Stack(of_x, of_y, self.views)
        rows = torch.arange(len(of_x), device=of_x.device)
        scores = [
            mixture.scores(
                Candidates(stack, self.network, k).tables(rows, rows[:, None], networks=mixture.networks)
            ).squeeze(1)
            for k, mixture in enumerate(self.mixtures)
        ]
        return torch.stack(scores).mean(0)


def columns_of_new(name: str, values: Values | list[Column], titles: Sequence[object]) -> list[Column]:
    """Read new rows as columns, in the order of the estimate where both have names.

    Args:
        name: the argument, for messages.
        values: a user's values, or columns.
        titles: names of the columns of the estimate; None for a column without one.

    Raises:
        TypeError: values that are neither numbers nor labels.
        ValueError: other names or another number of columns, other shapes, NaN or infinity.
    """
    columns = in_order_of(name, as_columns(name, values), titles)
    if len(columns) != len(titles):
        raise ValueError(f"{name} must have {len(titles)} columns, as in the estimate, got {len(columns)}")
    return columns


def _encoded(name: str, given: Values | list[Column], encoder: Encoder, device: torch.device) -> Tensor:
    columns = columns_of_new(name, given, encoder.titles)
    return encoder(name, [column.to(device) for column in columns])
