"""Trains a critic on one part of the data, keeps what a second part likes best, for a third part to be measured on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infomax._checks import check_number, check_positive
from infomax._modes import evaluating
from infomax.estimators import MINE
from infomax.evaluation.extract import Progress
from infomax.evaluation.fit import learning_rate
from infomax.scores import PairScores

__all__ = ["HeldOut", "parts", "train_critic"]

_CHECKS = 30  # validations on the way, at most
_PATIENCE = 10  # of them without a better one end the training


class HeldOut(NamedTuple):
    """A Donsker-Varadhan estimate on data that the critic has not seen.

    Args:
        nats: the estimate on the test examples. With exact expectations it would be a lower bound for any
            critic. A sample mean of e^T misses rare values, so with many nats the estimate tends to be too high.
        limit: log of the number of test examples, in nats. A sample of that size cannot show much more than this. An
            estimate above the limit is not a bound. It only says that there is about this much information or more.
        validation: the estimate, at the weights that were kept, on the examples they were chosen by, in nats.
        epochs: passes over the training part until those weights.

    Example:
        >>> import math
        >>> from infomax.evaluation import HeldOut
        >>> found = HeldOut(nats=4.2, limit=math.log(1000), validation=4.3, epochs=20.0)
        >>> found.nats < found.limit  # 1,000 test examples can show so much
        True
    """

    nats: float
    limit: float
    validation: float
    epochs: float


def parts(rows: int, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows to train a critic on, and a share of them, at least 2, to choose its weights by."""
    order = torch.randperm(rows, generator=generator, device="cpu")
    held = max(2, int(share * rows))
    return order[held:], order[:held]


def train_critic(
    critic: nn.Module,
    scores: Callable[[Tensor], PairScores],
    validate: Callable[[], float],
    rows: Tensor,
    *,
    epochs: int | None,
    lr: float,
    batch_size: int,
    weight_decay: float,
    generator: torch.Generator,
    progress: Progress | None,
) -> tuple[float, float]:
    """Maximise the Donsker-Varadhan bound with MINE's gradient, and put back the weights that validated best.

    It trains one module on batches of any kind, images included, and draws negatives from the batch. The training of
    `infomax.mi` is another loop: it trains a stack of small critics at once, one per fold and start, on rows that are
    held in memory, and restores each at its own best step. Neither can stand in for the other.

    It is validated before the first step and up to 30 times on the way. Ten times without a better one end the
    training, and so does a validation that is not finite, after a better one than that of the start.

    Args:
        critic: what is trained, in place.
        scores: joint and marginal scores of a batch of rows, by the critic.
        validate: the estimate in nats on examples that are not trained on.
        rows: the rows to train on.
        epochs: passes at most; when None 20, or as many as make 1,000 steps where rows are few.
        lr: learning rate of AdamW at the start; it falls along a cosine.
        batch_size: rows per step; a last batch of one is left out.
        weight_decay: of AdamW.
        generator: a CPU generator for the order of rows.
        progress: called after each validation with ``"critic"``, steps done and steps at most.

    Returns:
        The best validation in nats, and after how many passes it was reached.

    Raises:
        ValueError: an option out of range, or a validation that is not finite before any is better than that of the
            start.
    """
    batch_size = check_positive("batch_size", batch_size)
    if batch_size < 2:
        raise ValueError("batch_size must be at least 2, got 1: the other examples are the negatives")
    lr = check_number("lr", lr, above=0)
    weight_decay = check_number("weight_decay", weight_decay, at_least=0)
    an_epoch = len(range(0, len(rows) - 1, batch_size))
    steps = max(20 * an_epoch, 1000) if epochs is None else check_positive("epochs", epochs) * an_epoch
    estimator = MINE().to(next(critic.parameters()).device)
    optimizer = torch.optim.AdamW(critic.parameters(), lr=lr, weight_decay=weight_decay)
    best, best_step, kept = _validated(critic, validate), 0, _weights(critic)
    between = -(-steps // _CHECKS)
    for step, batch in enumerate(itertools.islice(_batches(rows, batch_size, generator), steps), start=1):
        optimizer.param_groups[0]["lr"] = learning_rate((step - 1) / steps, lr=lr, schedule="cosine")
        optimizer.zero_grad()
        torch.autograd.backward(estimator(scores(batch)))
        optimizer.step()
        if step % between and step < steps:
            continue
        reached = _validated(critic, validate)
        if not math.isfinite(reached):
            if best_step:
                break
            raise ValueError(f"the critic gives {reached} nats after {step} steps; did its training diverge? lower lr")
        if reached > best:
            best, best_step, kept = reached, step, _weights(critic)
        if progress is not None:
            progress("critic", step, steps)
        if step - best_step >= _PATIENCE * between:
            break
    critic.load_state_dict(kept)
    return best, best_step / an_epoch


def _batches(rows: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Shuffled batches, pass after pass without end."""
    while True:
        order = rows[torch.randperm(len(rows), generator=generator, device="cpu")]
        yield from (batch for batch in torch.split(order, batch_size) if len(batch) > 1)


def _validated(critic: nn.Module, validate: Callable[[], float]) -> float:
    with evaluating(critic), torch.no_grad():
        return validate()


def _weights(critic: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in critic.state_dict().items()}
