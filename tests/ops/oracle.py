"""The exact results of the pairwise ops, as loops over single pairs in double precision.

Imports nothing of the library.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass
class Expected:
    """The outputs, and the gradients of ``sum(grad_value * value) + sum(grad_joint * joint)``."""

    value: Array
    joint: Array
    grad_query: Array
    grad_key: Array


def pairwise(
    reduction: str,
    query: Array,
    key: Array,
    query_group: Array | None = None,
    key_group: Array | None = None,
    joint_query: Array | None = None,
    joint_key: Array | None = None,
    *,
    scale: float = 1.0,
    clip: float | None = None,
    soft_clip: float | None = None,
    grad_value: Array | None = None,
    grad_joint: Array | None = None,
) -> Expected:
    """Loop over pairs. The gradients of the outputs are one by default."""
    queries, keys = len(query), len(key)
    grad_query, grad_key = np.zeros(query.shape), np.zeros(key.shape)
    value = np.zeros(queries)
    for q in range(queries):
        scores = {}
        for k in range(keys):
            if query_group is None or key_group is None or query_group[q] != key_group[k]:
                scores[k] = scale * math.fsum(query[q] * key[k])
        bent = {k: s if soft_clip is None else soft_clip * math.tanh(s / soft_clip) for k, s in scores.items()}
        clipped = {k: s if clip is None else min(max(s, -clip), clip) for k, s in bent.items()}
        if reduction == "logsumexp":
            peak = max(clipped.values(), default=-math.inf)
            total = math.fsum(math.exp(s - peak) for s in clipped.values())
            value[q] = peak + math.log(total) if clipped else -math.inf
        else:
            value[q] = math.fsum(TERMS[reduction](s) for s in clipped.values())
        weight = 1.0 if grad_value is None else grad_value[q]
        for k, s in clipped.items():
            if s != bent[k]:
                continue
            slope = math.exp(s - value[q]) if reduction == "logsumexp" else SLOPES[reduction](s)
            if soft_clip is not None:
                slope *= _tanh_slope(scores[k] / soft_clip)
            grad_query[q] += weight * slope * scale * key[k]
            grad_key[k] += weight * slope * scale * query[q]
    pairs = [] if joint_query is None or joint_key is None else list(zip(joint_query, joint_key, strict=True))
    joint = np.zeros(len(pairs))
    for j, (q, k) in enumerate(pairs):
        joint[j] = scale * math.fsum(query[q] * key[k])
        weight = 1.0 if grad_joint is None else grad_joint[j]
        grad_query[q] += weight * scale * key[k]
        grad_key[k] += weight * scale * query[q]
    return Expected(value, joint, grad_query, grad_key)


def _softplus(score: float) -> float:
    return max(score, 0.0) + math.log1p(math.exp(-abs(score)))


def _sigmoid(score: float) -> float:
    return 1.0 / (1.0 + math.exp(-score)) if score >= 0 else math.exp(score) / (1.0 + math.exp(score))


def _tanh_slope(score: float) -> float:
    decay = math.exp(-2 * abs(score))
    return 4 * decay / (1 + decay) ** 2


TERMS = {
    "softplus": _softplus,
    "sum": lambda score: score,
    "square_sum": lambda score: score * score,
    "pearson": lambda score: score + score * score / 4,
}
SLOPES = {
    "softplus": _sigmoid,
    "sum": lambda score: 1.0,
    "square_sum": lambda score: 2.0 * score,
    "pearson": lambda score: 1.0 + score / 2,
}
