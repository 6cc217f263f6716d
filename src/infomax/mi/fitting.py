"""From two sides to one critic per fold, which is fixed before its test rows are scored."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infomax.mi.closed_forms.marginals import Marginals
from infomax.mi.input.folds import Fold, make_folds
from infomax.mi.input.sides import Side
from infomax.mi.networks.features import SideFeatures
from infomax.mi.networks.network import StackedCritic
from infomax.mi.networks.stack import Stack, View
from infomax.mi.networks.training import Curve, train
from infomax.mi.options import MARGINALS, STARTS, Options
from infomax.mi.progress import Bar
from infomax.mi.reading.held_out import FoldCritic

__all__ = ["Fitted", "fit"]


class Fitted(NamedTuple):
    """Critics of all folds, and how they were fitted."""

    critics: list[FoldCritic]
    tests: list[Tensor]
    """Test rows of each fold."""
    starts: list[str]
    curve: Curve
    views: list[View]
    network: StackedCritic


def fit(
    x: Side, y: Side, options: Options, generator: torch.Generator, bar: Bar, groups: Tensor | None = None
) -> Fitted:
    """Choose a start, train networks and mix them, in every fold.

    Args:
        x: one side.
        y: the other side.
        options: options of the estimate.
        generator: generator of the folds, initial weights and batches.
        bar: progress bar that shows the phases.
        groups: (n,), group of each row; a group stays in one fold. None for independent rows.
    """
    n = len(x.values)
    folds = [fold.to(x.values.device) for fold in make_folds(n, options.folds, generator, groups)]
    bar.phase("choosing closed forms", options.folds)
    views = []
    for fold in folds:
        views.append(_view(x, y, fold, options))
        bar.show(len(views), options.folds)
    stack = Stack(x.values, y.values, views)
    network = StackedCritic(stack.members, stack.widths, tuple(options.hidden), generator=generator)
    network = network.to(x.values.device)
    steps = options.steps(n)
    bar.phase("training", steps)
    curve = train(stack, network, folds, options.make_objective, steps, generator=generator, progress=bar.show)
    bar.phase("reading", options.folds)
    critics = []
    for k, fold in enumerate(folds):
        critics.append(FoldCritic(stack, network, k, fold.train, fold.validation, n, groups))
        bar.show(k + 1, options.folds)
    return Fitted(critics, [fold.test for fold in folds], [view.start.name for view in views], curve, views, network)


def _view(side_x: Side, side_y: Side, fold: Fold, options: Options) -> View:
    x, y = side_x.values, side_y.values
    labels = side_x.is_label, side_y.is_label
    make: type[Marginals] = MARGINALS[options.preprocess]
    of_x, of_y = make(x[fold.train]), make(y[fold.train])
    start = STARTS[options.start](x, y, (of_x, of_y), fold, labels)
    return View(
        start,
        SideFeatures(of_x, start.see_x, x[fold.train]),
        SideFeatures(of_y, start.see_y, y[fold.train]),
    )
