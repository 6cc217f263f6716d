"""``estimate_mi``: two arrays in, mutual information out."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from functools import partial

from numpy.typing import ArrayLike
from torch import Tensor

from infomax._checks import check_choice, check_integer, check_number, check_positive
from infomax._random import RandomState, as_generator
from infomax.estimators import Estimator, EstimatorLike, build_estimator
from infomax.mi.closed_forms.marginals import Marginals, Ranks, Standardised
from infomax.mi.closed_forms.start import choose_start, no_start
from infomax.mi.input.folds import make_folds
from infomax.mi.input.inputs import MINIMUM_ROWS, as_pairs
from infomax.mi.networks.network import StackedCritic
from infomax.mi.networks.stack import Stack
from infomax.mi.networks.training import Training, train
from infomax.mi.progress import Bar
from infomax.mi.reading.doubts import doubts_of
from infomax.mi.reading.held_out import FoldCritic, interval_of, read
from infomax.mi.result import MIEstimate

__all__ = ["estimate_mi"]

_MARGINALS: dict[str, type[Marginals]] = {"ranks": Ranks, "standardise": Standardised}
_STARTS = {"copula": choose_start, "none": no_start}


def estimate_mi(
    x: ArrayLike | Tensor | Iterable[object],
    y: ArrayLike | Tensor | None = None,
    *,
    estimator: EstimatorLike = "nwj",
    objective: EstimatorLike = "jsd",
    preprocess: str = "ranks",
    start: str = "copula",
    folds: int = 5,
    confidence: float = 0.95,
    hidden: tuple[int, ...] = (96, 64),
    max_steps: int | None = None,
    random_state: RandomState = None,
    progress: bool = False,
) -> MIEstimate:
    r"""Estimate the mutual information of two continuous variables from pairs of them.

    .. math:: \hat I = \frac{1}{n} \sum_k n_k \, \hat I_{T_k}\big( \text{test rows of fold } k \big)

    Every row is reported on once, by a critic :math:`T_k` that other rows trained and still others chose. A critic
    begins as the log density ratio of the best of a few Gaussian and Student-t copulas; networks learn what is
    missing; validation rows weigh start and networks. With the default estimator the result is a lower bound in
    expectation: too low by what the critics missed. See the page *Measuring mutual information*.

    Args:
        x: (n,) or (n, dx), array or tensor; or an iterable of batches (x, y), such as a data loader, with y None.
        y: (n,) or (n, dy).
        estimator: what is read on the test rows, by short name or module, as everywhere in the library. ``"nwj"`` is
            unbiased for the critic at hand, ``"dv"`` a little higher, ``"infonce"`` steadier and at most log 100. Its
            optimal critic must be a linear function of the log density ratio.
        objective: what the networks minimise, likewise.
        preprocess: ``"ranks"`` replaces each coordinate by its rank among the training rows, ``"standardise"`` shifts
            and scales it. Neither changes the information.
        start: what the networks add to: ``"copula"``, the best of a few closed forms, or ``"none"``.
        folds: parts into which the rows are split; each is reported on by critics of the others.
        confidence: of the interval.
        hidden: units of the networks' hidden layers.
        max_steps: training steps; 700, or three passes over the rows where those are more, when None. 0 trains no
            network.
        random_state: decides folds, weights and batches: an integer repeats the estimate; a torch or numpy
            generator, or None for torch's global one.
        progress: show a progress bar (needs tqdm).

    Returns:
        :class:`MIEstimate`, nats and bits.

    Raises:
        ImportError: a progress bar without tqdm.
        TypeError: something that is not numbers, an option of the wrong type.
        ValueError: fewer than 50 rows, lengths that differ, NaN or infinity, a constant side, an option out of range.

    Numerics:
        Ranks make heavy tails harmless; with ``"standardise"`` they are not. No critic scores a pair higher than the
        highest joint validation pair, so that no bound can overflow.

    Source:
        Nguyen, Wainwright & Jordan 2010 for the bound that is read; Chernozhukov et al. 2018 for cross-fitting.

    Example:
        >>> from infomax import estimate_mi
        >>> x = torch.randn(2000, 2)
        >>> y = x + torch.randn(2000, 2)  # log 2 nats
        >>> estimate = estimate_mi(x, y, random_state=0, max_steps=50)
        >>> abs(estimate.nats - 0.69) < 0.1
        True
    """
    begun = time.perf_counter()
    training, reported = _estimators(objective, estimator)
    check_choice("preprocess", preprocess, _MARGINALS)
    check_choice("start", start, _STARTS)
    generator = as_generator(random_state)
    if not 0 < check_number("confidence", confidence) < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    if not 2 <= check_positive("folds", folds) <= MINIMUM_ROWS // 5:
        raise ValueError(f"folds must be between 2 and {MINIMUM_ROWS // 5}, got {folds}")
    if not hidden or any(check_positive("hidden", units) < 1 for units in hidden):
        raise ValueError(f"hidden must name the units of at least one layer, got {hidden}")
    of_x, of_y = as_pairs(x, y)
    with Bar(progress) as bar:
        parts = [fold.to(of_x.device) for fold in make_folds(len(of_x), folds, generator)]
        marginals = [
            (_MARGINALS[preprocess](of_x[fold.train]), _MARGINALS[preprocess](of_y[fold.train])) for fold in parts
        ]
        starts = [_STARTS[start](of_x, of_y, pair, fold) for pair, fold in zip(marginals, parts, strict=True)]
        stack = Stack(of_x, of_y, parts, marginals, starts)
        critic = StackedCritic(stack.members, stack.widths, tuple(hidden), generator=generator).to(of_x.device)
        plan = Training(training, _steps(max_steps, len(of_x)))
        curve = train(stack, critic, parts, plan, generator=generator, progress=bar.show)
        critics = [FoldCritic(stack, critic, k, fold.validation, len(of_x)) for k, fold in enumerate(parts)]
        reading = read(critics, [fold.test for fold in parts], reported)
    low, high = interval_of(reading.nats, reading.standard_error, reading.blocks, confidence, len(of_x))
    made = reported()
    name = estimator if isinstance(estimator, str) else type(made).__name__
    nats = max(0.0, reading.nats)
    return MIEstimate(
        nats=nats,
        low=low,
        high=high,
        confidence=confidence,
        bound=max(0.0, reading.nats),
        bound_low=low,
        bound_high=high,
        bound_kind=made.bound,
        estimator=name,
        method="held-out critics",
        doubts=doubts_of(
            nats,
            rows=len(of_x),
            reading=reading.nats,
            standard_error=reading.standard_error,
            folds=reading.fold_nats,
            estimator=name,
            ceiling=made.ceiling(reading.negatives),
        ),
        rows=len(of_x),
        dims=stack.dims,
        pointwise=reading.pointwise,
        p_value=None,
        fold_nats=reading.fold_nats,
        starts=[start.name for start in starts],
        weights=[fold.mixture.weights.tolist() for fold in critics],
        curve_steps=curve.steps,
        curve_nats=curve.validation,
        seconds=time.perf_counter() - begun,
    )


def _steps(max_steps: int | None, rows: int) -> int:
    return max(700, 3 * rows // 256) if max_steps is None else check_integer("max_steps", max_steps, at_least=0)


def _estimators(objective: EstimatorLike, estimator: EstimatorLike) -> list[partial[Estimator]]:
    """Makers of what is minimised and of what is read; each member gets its own, as it may hold state."""
    made = []
    for name, given in (("objective", objective), ("estimator", estimator)):
        built = build_estimator(given)
        if not isinstance(built, Estimator):
            raise TypeError(
                f"{name} must say how its optimal critic relates to the log density ratio, which "
                f"{type(built).__name__} does not; subclass infomax.Estimator"
            )
        if built.optimum is None or built.needs_two_critics:
            raise ValueError(
                f"{name} must have a linear function of the log density ratio as its optimal critic, which "
                f"{type(built).__name__} has not; use 'nwj' or 'dv' to read and 'jsd' to train"
            )
        made.append(partial(copy.deepcopy, built))
    return made
