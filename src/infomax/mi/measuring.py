"""From two sides to an estimate."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from infomax.mi.closed_forms.marginals import Ranks
from infomax.mi.fitting import fit
from infomax.mi.input.sides import Side, most_nats
from infomax.mi.options import Options
from infomax.mi.progress import Bar
from infomax.mi.reading.adjacent import adjacent_nats
from infomax.mi.reading.alike import columns_alike
from infomax.mi.reading.best import best_estimate
from infomax.mi.reading.doubts import doubts_of, limit_of
from infomax.mi.reading.entropy import largest_entropy
from infomax.mi.reading.held_out import interval_of, read
from infomax.mi.reading.permutations import check_exchangeable, p_value_of
from infomax.mi.reading.places import places, without_copies
from infomax.mi.reading.together import nats_together
from infomax.mi.result import MIEstimate
from infomax.mi.scorer import Scorer

__all__ = ["measure"]


def measure(
    x: Side, y: Side, options: Options, generator: torch.Generator, bar: Bar, groups: Tensor | None = None
) -> MIEstimate:
    """Fit critics, read the bound, add what nearest neighbours find, and list the reasons to doubt the estimate.

    Args:
        x: one side.
        y: the other side.
        options: options of the estimate.
        generator: generator of all random numbers.
        bar: progress bar that shows the phases.
        groups: (n,), group of each row; None for independent rows.
    """
    begun = time.perf_counter()
    n = len(x.values)
    independent = n if groups is None else len(torch.unique(groups))
    fitted = fit(x, y, options, generator, bar, groups)
    if options.permutations is not None and groups is not None:
        check_exchangeable(groups, fitted.tests)
    reading = read(fitted.critics, fitted.tests, options.make_estimator, groups)
    place_x, place_y = places(x, generator), places(y, generator)
    bar.phase("looking at neighbours", 1)
    dims = sum(side.values.shape[1] for side in (x, y) if side.codes is None)
    best = best_estimate(
        place_x,
        place_y,
        dims,
        x.freedom * y.freedom,
        fitted.critics,
        fitted.tests,
        reading,
        options.confidence,
        generator,
        without_copies(x, y, groups),
        groups,
    )
    most = most_nats(x, y)
    nats = min(best.nats, most)
    from_ranks = any(isinstance(view.start.see_x.marginals, Ranks) for view in fitted.views)
    several = any(side.codes is None and side.values.shape[1] > 1 for side in (x, y))
    limit = limit_of(nats, reading=reading.nats, rows=best.different, most=most, blurred=from_ranks and several)
    p_value = None
    if options.permutations is not None:
        bar.phase("permuting", 1)
        p_value = p_value_of(fitted.critics, fitted.tests, options.permutations, generator, groups)
    bound_low, bound_high = interval_of(
        reading.nats, reading.standard_error, reading.blocks, options.confidence, independent
    )
    estimator = options.make_estimator()
    name = options.estimator if isinstance(options.estimator, str) else type(estimator).__name__
    mixtures = [critic.mixture for critic in fitted.critics]
    high = min(best.high, *(largest_entropy(side, options.confidence) for side in (x, y)))
    return MIEstimate(
        nats=nats,
        low=min(best.low, most),
        high=high,
        confidence=options.confidence,
        bound=max(0.0, reading.nats),
        bound_low=bound_low,
        bound_high=bound_high,
        bound_kind=estimator.bound,
        estimator=name,
        method=best.method,
        doubts=doubts_of(
            nats,
            limit=limit,
            reading=reading.nats,
            standard_error=reading.standard_error,
            folds=reading.fold_nats,
            estimator=name,
            ceiling=estimator.ceiling(reading.negatives),
            alone=max(x.alone, y.alone),
            high=high,
            adjacent=adjacent_nats(x, y, generator, groups),
            rise=best.rise,
            together=nats_together(x, y, groups),
            alike=_alike(x, y) if from_ranks else "",
        ),
        limit=limit,
        rows=n,
        dims=(x.dims, y.dims),
        entropies=(x.entropy, y.entropy),
        pointwise=reading.pointwise,
        p_value=p_value,
        fold_nats=reading.fold_nats,
        starts=fitted.starts,
        weights=[critic.weights.tolist() for critic in fitted.critics],
        curve_steps=fitted.curve.steps,
        curve_nats=fitted.curve.validation,
        seconds=time.perf_counter() - begun,
        scorer=Scorer((x.encoder, y.encoder), fitted.views, fitted.network, mixtures),
    )


def _alike(x: Side, y: Side) -> str:
    for name, side in (("x", x), ("y", y)):
        pair = columns_alike(side)
        if pair is not None:
            return f"columns {pair[0]} and {pair[1]} of {name}"
    return ""
