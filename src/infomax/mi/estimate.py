"""``estimate_mi``: the mutual information of two arrays."""

from __future__ import annotations

from dataclasses import replace

import torch
from numpy.typing import ArrayLike

from infomax._precision import without_autocast_anywhere
from infomax._random import RandomState, as_generator
from infomax.estimators import EstimatorLike
from infomax.mi.conditional import measure_given
from infomax.mi.input.alignment import check_alignment
from infomax.mi.input.groups import Repeats, as_groups, read_repeats
from infomax.mi.input.inputs import Values, columns_of, columns_of_given
from infomax.mi.input.sides import as_side, perhaps_labels
from infomax.mi.measuring import measure
from infomax.mi.options import Options
from infomax.mi.progress import Bar
from infomax.mi.result import MIEstimate

__all__ = ["estimate_mi"]


def estimate_mi(
    x: Values,
    y: Values | None = None,
    *,
    given: Values | None = None,
    groups: ArrayLike | None = None,
    discrete: str = "auto",
    estimator: EstimatorLike = "nwj",
    objective: EstimatorLike = "jsd",
    preprocess: str = "ranks",
    start: str = "copula",
    folds: int = 5,
    confidence: float = 0.95,
    hidden: tuple[int, ...] = (96, 64),
    max_steps: int | None = None,
    permutations: int | None = None,
    random_state: RandomState = None,
    progress: bool = False,
) -> MIEstimate:
    r"""Estimate the mutual information of two variables from paired samples.

    .. math:: \hat I = B' + w \, (N - B')_+, \qquad B' = B + w' H, \qquad
              B = \frac{1}{n} \sum_k n_k \, \hat I_{T_k}\big( \text{test rows of fold } k \big)

    B is the bound: the mean of the estimates of all folds, weighted by their numbers of test rows n_k. Each row is
    scored once, by a critic T_k that was trained and chosen on other rows. A critic starts as the log density ratio of
    the best of a few closed forms. Networks learn what the closed form misses. The validation rows set the weights of
    three candidates (a constant critic, the closed-form start, and the networks) and limit the scores of their mixture.
    H estimates the amount that B loses because a critic scores the rows that trained it higher than unseen rows. N is
    the estimate of nearest neighbours, corrected by these critics. It finds what the critics miss. The weights w and w'
    are 0 where the difference may be chance. See the page *Measuring mutual information*.

    Args:
        x: (n,) or (n, dx), array, tensor or data frame; or an iterable of batches (x, y), such as a data loader, with y
            None. Strings, booleans and categorical columns are labels. Integers beyond 2^53 stay distinct as labels; as
            numbers they are refused where two of them become the same float64.
        y: (n,) or (n, dy), likewise.
        given: (n,) or (n, dz), a third variable z. The result is then I(X; Y | Z), the information between x and y
            beyond z, by the chain rule. It takes twice the time.
        groups: (n,), the name of each row's group. Rows of a group may depend on each other, such as those of one
            subject or image. A group stays in one fold, counts as one unit in the standard error, and is permuted as a
            whole. When None, equal rows form a group, unless many rows have the same value.
        discrete: the side whose numbers are labels: ``"x"``, ``"y"`` or ``"both"``. ``"auto"`` treats strings,
            booleans, categorical and one-hot columns as labels. It treats a single column of at most 20 different
            integers, with 20 rows or more per integer on average, as both labels and numbers.
        permutations: number of random pairings for a p-value of independence; no p-value when None.
        estimator: the estimator of the bound on the test rows, a short name or a module. ``"nwj"`` is unbiased for the
            given critic. ``"dv"`` is a little higher. ``"infonce"`` varies less, and cannot exceed the smaller of
            log(n / 20) and log 100. The optimal critic of the estimator must be a linear function of the log density
            ratio.
        objective: the estimator whose loss the networks minimise. Its optimal critic must meet the same condition.
        preprocess: ``"ranks"`` replaces each coordinate by its rank among the training rows; ``"standardise"`` shifts
            and scales each coordinate, so that units do not matter. Neither changes the information.
        start: the critic to which the networks add: ``"copula"``, the best of a few closed forms, or ``"none"``, a
            score of 0 for every pair.
        folds: number of parts into which the rows are split; each part is scored by a critic fitted to the others.
        confidence: confidence level of the interval.
        hidden: units of the networks' hidden layers.
        max_steps: largest number of training steps. When None, it is 700, or three passes over the rows where those
            take more. 0 trains no network.
        random_state: source of the folds, weights and batches: an integer makes the estimate repeatable; otherwise a
            torch or numpy generator, or None for torch's global generator.
        progress: show a progress bar with the phases (needs tqdm).

    Returns:
        :class:`MIEstimate`: a float, nats, with an interval meant to hold the truth, the bound that critics prove, and
        the reasons to doubt these numbers.

    Raises:
        ImportError: ``progress`` is True, and tqdm is not installed.
        TypeError: columns of dates or objects, sparse, nested or quantised input, an option of the wrong type.
        ValueError: fewer than 50 rows, lengths that differ, rows of different lengths, integers that differ but not as
            float64, NaN, infinity or masked values, a constant side, the same index labels of pandas in another order,
            groups that leave a fold empty, an option out of range, permutations together with given.

    Numerics:
        Heavy tails of a coordinate have no effect with ranks; they have one with ``"standardise"``. A fold's critic is
        bounded from both sides before its test rows are scored: T becomes log((1 - eps) e^min(T - z, c) + eps). Here z
        normalises the critic, c = log(m / 10) for m marginal validation pairs, and eps = 1 / n. So no bound overflows.
        For strong dependence the result is what n rows can certify, and it is flagged. The best estimate never exceeds
        the larger of log n and the bound.

    Source:
        Nguyen, Wainwright & Jordan 2010 for the default bound; Chernozhukov et al. 2018 for cross-fitting; Akaike 1974
        for the correction H; Kraskov, Stögbauer & Grassberger 2004 for nearest neighbours. The correction of nearest
        neighbours by a critic is ours.

    Example:
        >>> from infomax import estimate_mi
        >>> x = torch.randn(2000, 2)
        >>> y = x + torch.randn(2000, 2)  # log 2 nats
        >>> estimate = estimate_mi(x, y, random_state=0, max_steps=50)
        >>> abs(estimate.nats - 0.69) < 0.1
        True
    """
    options = Options(estimator, objective, preprocess, start, folds, confidence, hidden, max_steps, permutations)
    generator = as_generator(random_state)
    if given is not None and permutations is not None:
        raise ValueError(
            "permutations must be None with given: random pairs also destroy the dependence of both sides on z; use "
            "the interval"
        )
    with (
        Bar(progress) as bar,
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.device("cpu"),
        without_autocast_anywhere(),
    ):
        check_alignment(x=x, y=y, given=given, groups=groups)
        of_x, of_y = columns_of(x, y, discrete=discrete)
        of_z = [] if given is None else columns_of_given(given, of_x)
        side_x, side_y = as_side("x", of_x), as_side("y", of_y)
        if groups is None:
            repeats = read_repeats(as_side("x", [*of_x, *of_z]) if of_z else side_x, side_y)
        else:
            repeats = Repeats(as_groups(groups, len(side_x.values), options.folds).to(side_x.values.device))
        if given is None:
            estimate = measure(side_x, side_y, options, generator, bar, repeats.groups)
        else:
            estimate = measure_given(of_x, side_y, of_z, options, generator, bar, repeats.groups)
        of_repeats = (repeats.note,) if repeats.note else ()
        return replace(estimate, notes=(*perhaps_labels("x", of_x), *perhaps_labels("y", of_y), *of_repeats))
