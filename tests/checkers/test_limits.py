"""The checkers reject losses that depend on the batch order, hold the score table, or ignore other processes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from checkers.refusals import refuses
from contracts import invariances, limits
from contracts.layouts import randn
from tolerances import assert_close
from torch import Tensor
from torch.nn import functional as nnf

from infomax import functional as F


def by_position(local: Tensor, global_: Tensor) -> Tensor:
    weights = torch.arange(1.0, local.shape[0] + 1, dtype=torch.float64)
    return (weights * F.dot_scores(local, global_).reduce("logsumexp").marginal).sum()


def first_location(local: Tensor, global_: Tensor) -> Tensor:
    return F.infonce_loss(F.dot_scores(local.flatten(2)[:, :, :1], global_))


def test_permutations_refuse() -> None:
    local, global_ = randn(4, 2, 5), randn(4, 2)
    invariances.check_permutations(lambda a, b: F.infonce_loss(F.dot_scores(a, b)), local, global_)
    refuses(lambda: invariances.check_permutations(by_position, local, global_), "examples")
    refuses(lambda: invariances.check_permutations(first_location, local, global_), "locations")


def test_memory_refuses() -> None:
    """The textbook InfoNCE, which holds a row of logits for every joint pair, is rejected."""
    n, p = 4, 16
    local, global_ = randn(n, 3, p).requires_grad_(), randn(n, 3).requires_grad_()

    def textbook() -> Tensor:
        rows, queries = local.transpose(1, 2).reshape(n * p, 3), global_.repeat_interleave(p, 0)
        logits = queries @ rows.T
        own = torch.arange(n * p)[:, None] // p == torch.arange(n * p) // p
        others = logits.masked_fill(own, -math.inf)
        joint = logits.diagonal()
        return nnf.softplus(others.logsumexp(1) - joint).mean()

    assert_close(textbook(), F.infonce_loss(F.dot_scores(local, global_)), 1e-12, "the same loss")
    refuses(lambda: limits.check_no_table_larger_than(2 * n * n * p, textbook), "numbers")
    limits.check_no_table_larger_than(2 * n * n * p, lambda: F.infonce_loss(F.dot_scores(local, global_)))


def halves() -> Iterator[tuple[Tensor, Tensor]]:
    local, global_ = randn(6, 3, 2), randn(6, 3, seed=1)
    yield local, global_
    yield local[:3], global_[:3]
    yield local[3:], global_[3:]


def test_split_batches_refuse() -> None:
    """Processes that use only their own negatives get a different loss and different gradients."""

    def outcome(local: Tensor, global_: Tensor, factor: float = 1.0) -> dict[str, Tensor]:
        loss = lambda a, b: F.infonce_loss(F.dot_scores(a, b))  # noqa: E731
        value, by_local, by_global = invariances.value_and_gradients(loss, local, global_)
        return {"loss": value, "local": factor * by_local, "global_": factor * by_global}

    whole, first, second = (outcome(*half) for half in halves())
    refuses(lambda: limits.check_split_batch(whole, [first, second]), "loss")
    # The loss is right, but no gradient flows between processes.
    stopped = [{**first, "loss": whole["loss"]}, {**second, "loss": whole["loss"]}]
    refuses(lambda: limits.check_split_batch(whole, stopped), "gradient")
    # This passes: every process has the loss of the whole batch, and gradients times the number of processes.
    parts = [
        {"loss": whole["loss"], "local": 2 * whole["local"][part], "global_": 2 * whole["global_"][part]}
        for part in (slice(0, 3), slice(3, 6))
    ]
    limits.check_split_batch(whole, parts)
