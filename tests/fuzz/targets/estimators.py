"""The functions of scores: tables, paired scores and inner products, of any size and value."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

import infomax
from fuzz.oracle import Finding, attempt, check_gradients
from fuzz.source import Source
from fuzz.values import NUMBERS, mask, number, option, tensor
from infomax import functional as F
from infomax.scores import ClippedScores, PairScores

_MEASURES = ("kl", "rkl", "hellinger", "chi2", "gan", "jsd", None, 3)
_PER_GLOBAL = ("infonce_loss", "jsd_loss", "logistic_loss", "nwj_loss", "fdivergence_loss", "likelihood_loss")
_EXPONENTIAL = ("nwj", "fdivergence", "tuba", "alpha_tuba", "mean_square", "logistic")


def run(source: Source) -> None:
    scores, inputs = _scores(source)
    if source.rarely():
        scores = attempt(ClippedScores, scores, number(source, (2.0, 20.0)), soft=bool(source.below(2)))
    name, call = _function(source)
    result = attempt(call, scores, infinite=name.startswith(_EXPONENTIAL), beside=inputs)
    if not isinstance(result, Tensor):
        raise Finding(f"{name} returned {type(result).__name__}")
    if result.requires_grad and not result.is_meta:
        attempt(result.sum().backward)
        check_gradients(inputs, result)


def _scores(source: Source) -> tuple[PairScores, list[Any]]:
    kind = source.below(4)
    n = source.choice([4, 2, 3, 1, 0, 6])
    if kind == 0:
        table = tensor(source, (n, n))
    elif kind == 1:
        q, p = source.choice([1, 2, 0]), source.choice([1, 2, 3])
        table = tensor(source, (n, q, n, p))
        if source.below(2):
            return attempt(F.dense_scores, table, mask(source, (n, p))), [table]
    elif kind == 2:
        joint, marginal = tensor(source, (n,)), tensor(source, (n, source.choice([3, 1, 2, 0])))
        return attempt(F.paired_scores, joint, marginal), [joint, marginal]
    else:
        spatial = tuple(source.choice([2, 1]) for _ in range(source.below(3)))
        local, global_ = tensor(source, (n, 3, *spatial)), tensor(source, (n, 3))
        hidden = mask(source, (n, *spatial)) if source.below(2) else None
        return attempt(F.dot_scores, local, global_, hidden, number(source)), [local, global_]
    return attempt(F.dense_scores, table), [table]


def _function(source: Source) -> tuple[str, Any]:
    plain = [name for name in F.__all__ if not name.endswith("_scores") and not name.startswith("flo")]
    name = source.choice(plain)
    options: dict[str, Any] = {}
    if name.startswith("fdivergence"):
        options["measure"] = option(source, _MEASURES[:5], _MEASURES)
    if name == "smile_estimate":
        options["clip"] = number(source, (5.0, 0.5))
    if name.startswith(("tuba", "alpha_tuba")):
        options["log_baseline"] = option(
            source, [0.0, 1.0, torch.zeros(()), torch.zeros(1)], [*NUMBERS, torch.zeros(7)]
        )
    if name.startswith("alpha_tuba"):
        options["alpha"] = number(source, (0.5, 0.0, 1.0, 0.01))
    if name == "mine_loss":
        options["log_average"] = option(
            source, [torch.zeros(())], [*NUMBERS, torch.zeros(3), torch.tensor(float("nan"))]
        )
    if name in _PER_GLOBAL and source.below(4) == 3:
        options["reduction"] = option(source, ["none", "mean"], ["sum", None, 3])
    if source.rarely():
        estimator = source.choice(
            [infomax.ScoreRegularised, infomax.SMILE, infomax.MINE, infomax.TUBA, infomax.JensenShannon]
        )
        return "regularised", partial(_module, estimator)
    return name, partial(getattr(F, name), **options)


def _module(estimator: Any, scores: PairScores) -> Tensor:
    return estimator()(scores)
