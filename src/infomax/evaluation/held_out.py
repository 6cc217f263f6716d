"""Trains a critic on one part of the data, keeps what a second part likes best, for a third part to be measured on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infomax._checks import check_positive
from infomax.estimators import MINE
from infomax.evaluation.extract import Progress
from infomax.evaluation.fit import learning_rate
from infomax.features.modes import evaluating
from infomax.scores import PairScores

__all__ = ["HeldOut", "parts", "train_critic"]


class HeldOut(NamedTuple):
    """A Donsker-Varadhan estimate on data that the critic has not seen.

    Args:
        nats: the estimate on the test examples. For any critic a lower bound in expectation; a finite sample may lie
            on either side of it.
        limit: log of the number of test examples, in nats. A sample of that size cannot show much more than this: an
            estimate near the limit, or above it, says "at least about so much".
        validation: the estimate, at the weights that were kept, on the examples they were chosen by, in nats.
        epochs: passes over the training part until those weights.
    """

    nats: float
    limit: float
    validation: float
    epochs: int


def parts(rows: int, share: float, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Rows to train a critic on, and a share of them, at least 2, to choose its weights by."""
    order = torch.randperm(rows, generator=generator)
    held = max(2, int(share * rows))
    return order[held:], order[:held]


def train_critic(
    critic: nn.Module,
    scores: Callable[[Tensor], PairScores],
    validate: Callable[[], float],
    rows: Tensor,
    *,
    epochs: int,
    patience: int,
    lr: float,
    batch_size: int,
    weight_decay: float,
    generator: torch.Generator | None,
    progress: Progress | None,
) -> tuple[float, int]:
    """Maximise the Donsker-Varadhan bound with MINE's gradient, and put back the weights that validated best.

    Args:
        critic: what is trained, in place.
        scores: joint and marginal scores of a batch of rows, by the critic.
        validate: the estimate in nats on examples that are not trained on. It is also called before the first step.
        rows: the rows to train on.
        epochs: passes at most.
        patience: passes without a better validation after which training ends.
        lr: learning rate of AdamW at the start; it falls along a cosine.
        batch_size: rows a step; a last batch of one is left out.
        weight_decay: of AdamW.
        generator: a CPU generator for the order of rows.
        progress: called after each pass with ``"critic"``, passes done and passes at most.

    Returns:
        The best validation in nats, and after how many passes it was reached.

    Raises:
        ValueError: an option out of range.
    """
    for name, value in (("epochs", epochs), ("patience", patience)):
        check_positive(name, value)
    if check_positive("batch_size", batch_size) < 2:
        raise ValueError("batch_size must be at least 2, got 1: the other examples are the negatives")
    estimator = MINE().to(next(critic.parameters()).device)
    optimizer = torch.optim.AdamW(critic.parameters(), lr=lr, weight_decay=weight_decay)
    starts = range(0, len(rows) - 1, batch_size)
    best, best_epoch, kept = _validated(critic, validate), 0, _weights(critic)
    for epoch in range(epochs):
        order = rows[torch.randperm(len(rows), generator=generator)]
        for step, start in enumerate(starts):
            done = (epoch + step / len(starts)) / epochs
            optimizer.param_groups[0]["lr"] = learning_rate(done, lr=lr, schedule="cosine")
            optimizer.zero_grad()
            torch.autograd.backward(estimator(scores(order[start : start + batch_size])))
            optimizer.step()
        reached = _validated(critic, validate)
        if reached > best:  # never true of NaN
            best, best_epoch, kept = reached, epoch + 1, _weights(critic)
        if progress is not None:
            progress("critic", epoch + 1, epochs)
        if epoch + 1 - best_epoch >= patience:
            break
    critic.load_state_dict(kept)
    return best, best_epoch


def _validated(critic: nn.Module, validate: Callable[[], float]) -> float:
    with evaluating(critic), torch.no_grad():
        return validate()


def _weights(critic: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in critic.state_dict().items()}
