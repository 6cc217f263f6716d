"""The exact losses and estimates of every estimator, as plain loops over joint and marginal scores.

Imports nothing of the library. The loops use Python's complex numbers and ``cmath``, in double precision.
`score_tables` explains why the numbers are complex, and forms pairs from a table of scores.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from score_tables import Pairs


def _mean(values: Sequence[complex]) -> complex:
    total = 0j
    for value in values:
        total += value
    return total / len(values)


def _softplus(score: complex) -> complex:
    return score + _log1p(cmath.exp(-score)) if score.real > 0 else _log1p(cmath.exp(score))


def _log1p(value: complex) -> complex:
    # cmath has no log1p. The imaginary part is a complex step, so small that its square is zero.
    return complex(math.log1p(value.real), value.imag / (1 + value.real))


def _clip(score: complex, clip: float | None) -> complex:
    if clip is None or abs(score.real) <= clip:
        return score
    return complex(math.copysign(clip, score.real))


def _clipped(pairs: Pairs, clip: float | None) -> Pairs:
    return Pairs(
        [(_clip(score, clip), owner) for score, owner in pairs.joint],
        {owner: [_clip(score, clip) for score in scores] for owner, scores in pairs.marginal.items()},
    )


def softly_clipped(pairs: Pairs, bound: float) -> Pairs:
    """Replace every score T by c tanh(T / c) (Bachman et al. 2019)."""
    return Pairs(
        [(bound * cmath.tanh(score / bound), owner) for score, owner in pairs.joint],
        {owner: [bound * cmath.tanh(score / bound) for score in scores] for owner, scores in pairs.marginal.items()},
    )


def _joint_mean(pairs: Pairs, function: Callable[[complex], complex]) -> complex:
    return _mean([function(score) for score, _ in pairs.joint])


def _marginal_mean(pairs: Pairs, function: Callable[[complex], complex]) -> complex:
    return _mean([function(score) for score in pairs.all_marginal()])


def _same(score: complex) -> complex:
    return score


def infonce_loss(pairs: Pairs) -> complex:
    terms = []
    for score, owner in pairs.joint:
        total = cmath.exp(score)
        for other in pairs.marginal[owner]:
            total += cmath.exp(other)
        terms.append(cmath.log(total) - score)
    return _mean(terms)


def infonce_estimate(pairs: Pairs) -> complex:
    ceilings = [complex(math.log(1 + len(pairs.marginal[owner]))) for _, owner in pairs.joint]
    return _mean(ceilings) - infonce_loss(pairs)


def infonce_anchor_loss(pairs: Pairs, anchor: float = 1.0) -> complex:
    """Compute InfoNCE with another class of weight ``anchor (1 + K)``, the right one where all locals are marginal."""
    terms = []
    for score, owner in pairs.joint:
        others = pairs.marginal[owner]
        weight = anchor * (1 + len(others))
        marginal = 0j
        for other in others:
            marginal += cmath.exp(other)
        some = cmath.log(weight + cmath.exp(score) + marginal) - score
        none = cmath.log(weight + marginal * (1 + len(others)) / len(others)) - cmath.log(weight)
        terms.append(some + anchor * none)
    return _mean(terms)


def plug_in_estimate(pairs: Pairs) -> complex:
    return _joint_mean(pairs, _same)


def dv_estimate(pairs: Pairs) -> complex:
    return _joint_mean(pairs, _same) - cmath.log(_marginal_mean(pairs, cmath.exp))


def dv_loss(pairs: Pairs) -> complex:
    return -dv_estimate(pairs)


def jsd_loss(pairs: Pairs, clip: float | None = None) -> complex:
    pairs = _clipped(pairs, clip)
    return _joint_mean(pairs, lambda t: _softplus(-t)) + _marginal_mean(pairs, _softplus)


def logistic_loss(pairs: Pairs) -> complex:
    """Compute the loss of Zhai et al. 2023, eq. 1: every pair has the same weight."""
    total = 0j
    for score, _ in pairs.joint:
        total += _softplus(-score)
    for score in pairs.all_marginal():
        total += _softplus(score)
    return total / len(pairs.joint)


def nwj_estimate(pairs: Pairs, clip: float | None = None) -> complex:
    pairs = _clipped(pairs, clip)
    return _joint_mean(pairs, _same) - _marginal_mean(pairs, lambda t: cmath.exp(t - 1))


def nwj_loss(pairs: Pairs, clip: float | None = None) -> complex:
    return -nwj_estimate(pairs, clip)


def rkl_loss(pairs: Pairs, clip: float | None = None) -> complex:
    pairs = _clipped(pairs, clip)
    return _joint_mean(pairs, lambda t: cmath.exp(-t)) + _marginal_mean(pairs, lambda t: t - 1)


def hellinger_loss(pairs: Pairs, clip: float | None = None) -> complex:
    pairs = _clipped(pairs, clip)
    return -(_joint_mean(pairs, lambda t: 1 - cmath.exp(-t)) - _marginal_mean(pairs, lambda t: cmath.exp(t) - 1))


def chi2_loss(pairs: Pairs, clip: float | None = None) -> complex:
    pairs = _clipped(pairs, clip)
    return -(_joint_mean(pairs, _same) - _marginal_mean(pairs, lambda t: t * t / 4 + t))


def smile_estimate(pairs: Pairs, clip: float | None = 5.0) -> complex:
    return _joint_mean(pairs, _same) - cmath.log(_marginal_mean(pairs, lambda t: cmath.exp(_clip(t, clip))))


def doubled_dv_estimate(pairs: Pairs) -> complex:
    """Compute the DV estimate from doubled scores: the Hellinger critic is half the log ratio at its optimum."""
    doubled = {owner: [2 * score for score in scores] for owner, scores in pairs.marginal.items()}
    return dv_estimate(Pairs([(2 * score, owner) for score, owner in pairs.joint], doubled))


def renyi_estimate(pairs: Pairs, clip: float | None = None) -> complex:
    return complex(math.log(1 + max(0.0, -chi2_loss(pairs, clip).real)))


def mine_surrogate(pairs: Pairs, log_average: float) -> complex:
    """Compute a function with the *gradient* of MINE (Belghazi et al. 2018, eq. 12); the average is a constant."""
    return _marginal_mean(pairs, cmath.exp) / math.exp(log_average) - _joint_mean(pairs, _same)


Baseline = Callable[[tuple[int, int]], float]


def _one(owner: tuple[int, int]) -> float:
    return 0.0


def tuba_estimate(pairs: Pairs, log_baseline: Baseline = _one, clip: float | None = None) -> complex:
    """Compute the bound of Poole et al. 2019, eq. 8, with one baseline per global."""
    pairs = _clipped(pairs, clip)
    joint = _mean([score - log_baseline(owner) for score, owner in pairs.joint])
    marginal = [
        cmath.exp(score) / math.exp(log_baseline(owner)) for owner, scores in pairs.marginal.items() for score in scores
    ]
    return 1 + joint - _mean(marginal)


def alpha_tuba_estimate(pairs: Pairs, alpha: float = 0.5, log_baseline: Baseline = _one) -> complex:
    """Compute the bound of Poole et al. 2019, section 2.4: a global's mean of e^T is part of its baseline."""
    joint, marginal = [], []
    for score, owner in pairs.joint:
        every = [cmath.exp(score), *(cmath.exp(other) for other in pairs.marginal[owner])]
        joint.append(score - cmath.log(alpha * _mean(every) + (1 - alpha) * math.exp(log_baseline(owner))))
    for owner, scores in pairs.marginal.items():
        baseline = alpha * _mean([cmath.exp(t) for t in scores]) + (1 - alpha) * math.exp(log_baseline(owner))
        marginal += [cmath.exp(score) / baseline for score in scores]
    return 1 + _mean(joint) - _mean(marginal)


def first_alpha_tuba_loss(pairs: Pairs) -> complex:
    """Compute the loss of the first batch in training mode, when the average in the baseline holds this batch alone."""
    average = cmath.log(_marginal_mean(pairs, cmath.exp)).real
    return -alpha_tuba_estimate(pairs, 0.5, lambda owner: average)


def flo_loss(pairs: Pairs, u: Callable[[complex], complex]) -> complex:
    """Compute the loss of Guo et al. 2022, with u a function of the score."""
    terms = []
    for score, owner in pairs.joint:
        contrast = _mean([cmath.exp(other - score) for other in pairs.marginal[owner]])
        terms.append(u(score) + cmath.exp(-u(score)) * contrast)
    return _mean(terms) - 1


def likelihood_loss(pairs: Pairs) -> complex:
    return -_joint_mean(pairs, _same)


def club_estimate(pairs: Pairs) -> complex:
    return _joint_mean(pairs, _same) - _marginal_mean(pairs, _same)


def leave_one_out_estimate(pairs: Pairs) -> complex:
    return _mean(
        [score - cmath.log(_mean([cmath.exp(t) for t in pairs.marginal[owner]])) for score, owner in pairs.joint]
    )


def wasserstein_loss(pairs: Pairs) -> complex:
    return -club_estimate(pairs)


def mean_square(pairs: Pairs) -> complex:
    return _mean([score * score for score in [*(score for score, _ in pairs.joint), *pairs.all_marginal()]])


class Oracle(NamedTuple):
    """The loss and the estimate of an estimator, as functions of pairs.

    ``clips``: the loss accepts ``clip``. ``averages``: the loss has the value of these loops, but the gradient of a
    moving average. ``density``: the estimator needs the log density of a global given a local.
    """

    loss: Callable[..., complex]
    estimate: Callable[..., complex]
    clips: bool = False
    averages: bool = False
    density: bool = False


# The keys are the short names of the public API.
ORACLES: dict[str, Oracle] = {
    "infonce": Oracle(infonce_loss, infonce_estimate),
    "jsd": Oracle(jsd_loss, dv_estimate, clips=True),
    "logistic": Oracle(logistic_loss, dv_estimate),
    "dv": Oracle(dv_loss, dv_estimate),
    "nwj": Oracle(nwj_loss, nwj_estimate, clips=True),
    "smile": Oracle(jsd_loss, smile_estimate),
    "mine": Oracle(dv_loss, dv_estimate, averages=True),
    "tuba": Oracle(dv_loss, tuba_estimate, averages=True),
    "alpha_tuba": Oracle(first_alpha_tuba_loss, alpha_tuba_estimate, averages=True),
    "wasserstein": Oracle(wasserstein_loss, dv_estimate),
    "club": Oracle(likelihood_loss, club_estimate, density=True),
    "leave_one_out": Oracle(likelihood_loss, leave_one_out_estimate, density=True),
    "kl": Oracle(nwj_loss, nwj_estimate, clips=True),
    "rkl": Oracle(rkl_loss, dv_estimate, clips=True),
    "hellinger": Oracle(hellinger_loss, doubled_dv_estimate, clips=True),
    "chi2": Oracle(chi2_loss, renyi_estimate, clips=True),
    "gan": Oracle(jsd_loss, dv_estimate, clips=True),
}


# Estimators that a loss of features accepts with any critic.
WITH_ANY_CRITIC = [name for name, oracle in ORACLES.items() if not oracle.density]
