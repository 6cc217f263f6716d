"""Log density ratios of rows that took no part in the estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from infomax.mi.input.columns import Column, as_columns
from infomax.mi.input.inputs import Values
from infomax.mi.input.sides import Encoder
from infomax.mi.networks.candidates import Candidates
from infomax.mi.networks.network import StackedCritic
from infomax.mi.networks.stack import Stack, View
from infomax.mi.reading.mixing import Mixture

__all__ = ["Scorer"]


@dataclass(frozen=True)
class Scorer:
    """The critics of all folds, for new rows.

    Args:
        encoders: of both sides.
        views: how each fold sees rows.
        network: the members.
        mixtures: of each fold.
    """

    encoders: tuple[Encoder, Encoder]
    views: list[View]
    network: StackedCritic
    mixtures: list[Mixture]

    def __call__(self, x: Values | list[Column], y: Values) -> Tensor:
        """(n,), the mean over folds of the log density ratio of each row, nats.

        Raises:
            ValueError: other columns than those of the estimate, or lengths that differ.
        """
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


def _encoded(name: str, given: Values | list[Column], encoder: Encoder, device: torch.device) -> Tensor:
    read = isinstance(given, list) and all(isinstance(column, Column) for column in given)
    columns = cast("list[Column]", given) if read else as_columns(name, given)
    if len(columns) != len(encoder.names):
        raise ValueError(f"{name} must have {len(encoder.names)} columns, as in the estimate, got {len(columns)}")
    return encoder([column._replace(values=column.values.to(device)) for column in columns])
