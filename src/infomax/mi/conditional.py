"""Conditional mutual information, by the chain rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from infomax.mi.input.columns import Column
from infomax.mi.input.inputs import Values
from infomax.mi.input.sides import Side, as_side, most_nats
from infomax.mi.measuring import measure
from infomax.mi.options import Options
from infomax.mi.progress import Bar
from infomax.mi.reading.entropy import largest_entropy
from infomax.mi.reading.held_out import clustering, normal_quantile
from infomax.mi.result import MIEstimate
from infomax.mi.scorer import columns_of_new

__all__ = ["measure_given"]


def measure_given(
    x: list[Column],
    y: Side,
    given: list[Column],
    options: Options,
    generator: torch.Generator,
    bar: Bar,
    groups: Tensor | None,
) -> MIEstimate:
    r"""Estimate the conditional mutual information as the difference of two estimates with the same folds.

    .. math:: I(X; Y \mid Z) = I\big((X, Z); Y\big) - I(Z; Y)

    Args:
        x: columns of x.
        y: the side y.
        given: columns of z.
        options: options of the estimate.
        generator: generator of all random numbers; both terms draw the same ones.
        bar: progress bar that shows the phases.
        groups: (n,), group of each row; None for independent rows.
    """
    state = generator.get_state()
    together = [*_as_alone("x", x), *_as_alone("given", given)]
    whole = measure(as_side("x", together), y, options, generator, bar, groups)
    again = torch.Generator()
    again.set_state(state)
    of_given = as_side("given", given)
    part = measure(of_given, y, options, again, bar, groups)
    pointwise = whole.pointwise - part.pointwise
    # Both terms share rows and folds, so the standard error is that of the mean of pointwise differences.
    error = float(pointwise.std()) / math.sqrt(whole.rows) * clustering(pointwise, groups)
    ends = whole.high - whole.nats, part.high - part.nats, whole.nats - whole.low, part.nats - part.low
    away = max(*ends, normal_quantile(options.confidence) * error)
    raw = whole.nats - part.nats
    side = as_side("x", x)
    most = most_nats(side, y)
    doubts = tuple(dict.fromkeys((*whole.doubts, *part.doubts)))
    if raw - away > most:
        doubts = (*doubts, f"the difference of two estimates is {raw:.2f} nats, and labels hold at most {most:.2f}")
    if raw < -away:
        doubts = (*doubts, f"the difference of two estimates is {raw:.2f} nats, but information is never negative")
    nats = min(max(0.0, raw), most)
    high = nats + max(away, -raw)  # a difference below 0 has at least this error, in either direction
    return replace(
        whole,
        nats=nats,
        low=min(max(0.0, raw - away), most),
        high=min(high, *(largest_entropy(one, options.confidence) for one in (side, y))),
        bound=max(0.0, whole.bound - part.bound),
        bound_low=max(0.0, whole.bound_low - part.bound_high),
        bound_high=max(0.0, whole.bound_high - part.bound_low),
        bound_kind="none",
        method=f"{whole.method}, the difference of two estimates",
        doubts=doubts,
        limit=whole.limit or part.limit,
        dims=(side.dims, y.dims),
        dims_given=of_given.dims,
        entropies=(side.entropy, y.entropy),
        pointwise=pointwise,
        fold_nats=[one - other for one, other in zip(whole.fold_nats, part.fold_nats, strict=True)],
        seconds=whole.seconds + part.seconds,
        scorer=_Difference(whole.scorer, part.scorer, _titles(x), _titles(given)),
    )


def _as_alone(name: str, columns: list[Column]) -> list[Column]:
    """Return an argument's columns, all of them as labels if the argument by itself counts as labels."""
    return columns if as_side(name, columns).codes is None else [column.as_labels() for column in columns]


@dataclass(frozen=True)
class _Difference:
    """Scores of new rows: the scores of one scorer minus those of another."""

    whole: Callable[..., Tensor]
    part: Callable[..., Tensor]
    titles_x: tuple[object, ...]
    """Names of the columns of x in a data frame."""
    titles_z: tuple[object, ...]

    def __call__(self, x: Values, y: Values, given: Values | None = None) -> Tensor:
        if given is None:
            raise TypeError("given must be passed, because the estimate was made with it, got None")
        of_x, of_z = columns_of_new("x", x, self.titles_x), columns_of_new("given", given, self.titles_z)
        rows, came = len(of_x[0].values), len(of_z[0].values)
        if rows != came:
            raise ValueError(f"given must have as many rows as x, {rows}, got {came}")
        # The names have served to order the columns; they are dropped because x and z may share some.
        of_x, of_z = ([column._replace(title=None) for column in columns] for columns in (of_x, of_z))
        return self.whole([*of_x, *of_z], y) - self.part(of_z, y)


def _titles(columns: list[Column]) -> tuple[object, ...]:
    return tuple(column.title for column in columns)
