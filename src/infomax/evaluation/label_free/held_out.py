"""Training of a critic on one part of the data; a second part selects its weights, and a third gives the estimate."""

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

_CHECKS = 30  # largest number of validations during training
_PATIENCE = 10  # validations without improvement after which training ends


class HeldOut(NamedTuple):
    """A Donsker-Varadhan estimate on data that the critic has not seen.

    Args:
        nats: the estimate on the test examples. With exact expectations it would be a lower bound for any critic. A
            sample mean of e^T misses rare large values, so the estimate tends to be too high where the true value is
            large.
        limit: log of the number of test examples, in nats. A sample of that size cannot certify much more than this. An
            estimate above the limit is not a bound; it only suggests that the true value is about the limit or more.
        validation: the estimate of the selected weights on the examples that selected them, in nats.
        epochs: passes over the training part after which the selected weights were reached.

    Example:
        >>> import math
        >>> from infomax.evaluation import HeldOut
        >>> found = HeldOut(nats=4.2, limit=math.log(1000), validation=4.3, epochs=20.0)
        >>> found.nats < found.limit  # 1,000 test examples can certify this much
        True
    """

    nats: float
    limit: float
    validation: float
    epochs: float


def parts(rows: int, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Split row numbers at random into those to train a critic on and a share, at least 2, to select its weights on."""
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
    """Maximise the Donsker-Varadhan bound with MINE's gradient, and restore the weights with the best validation.

    This function trains one module on batches of any kind, images included, with negatives from the same batch. The
    training in `infomax.mi` is a separate loop: it trains a stack of small critics at once, one per fold and start, on
    rows held in memory, and restores each critic at its own best step.

    The critic is validated before the first step and up to 30 times during training. Training ends early after ten
    validations without improvement, or at a validation that is not finite, if an earlier one improved on the first.

    Args:
        critic: the module to train, in place.
        scores: a function that returns the critic's joint and marginal scores for a batch of row numbers.
        validate: a function that returns the estimate in nats on examples that are not trained on.
        rows: the numbers of the rows to train on.
        epochs: largest number of passes; when None, 20, or as many as make 1,000 steps if 20 passes make fewer.
        lr: initial learning rate of AdamW; it decays along a cosine.
        batch_size: rows per step; a last batch of one is left out.
        weight_decay: weight decay of AdamW.
        generator: a CPU generator for the order of rows.
        progress: called after each validation with ``"critic"``, the steps done and the largest number of steps.

    Returns:
        The best validation in nats, and the number of passes after which it was reached.

    Raises:
        ValueError: an option is out of range, or a validation is not finite although none before it improved on the
            first.
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
    """Yield shuffled batches, in an endless sequence of passes."""
    while True:
        order = rows[torch.randperm(len(rows), generator=generator, device="cpu")]
        yield from (batch for batch in torch.split(order, batch_size) if len(batch) > 1)


def _validated(critic: nn.Module, validate: Callable[[], float]) -> float:
    with evaluating(critic), torch.no_grad():
        return validate()


def _weights(critic: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in critic.state_dict().items()}
