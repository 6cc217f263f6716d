"""How much higher critics read the rows they learnt from: what rows they have not seen hide of the information."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from infomax.mi.reading.held_out import FoldCritic

__all__ = ["Familiar", "familiar"]


class Familiar(NamedTuple):
    """Nats by which critics read their training rows higher than the same rows when these are test rows."""

    start: float
    """Of that, what the closed forms do."""
    networks: float
    """And what networks do beyond them."""

    @property
    def hidden(self) -> float:
        """Nats by which the reading of test rows is taken to be low."""
        return self.start / 2 + self.networks


def familiar(critics: list[FoldCritic], tests: list[Tensor]) -> Familiar:
    r"""Compare what critics say of each row when it taught them with what they say when it did not.

    .. math:: \hat J = \frac{1}{n} \sum_i \Big( \operatorname{mean}_{k:\, i \in \text{train}_k} T_k(x_i, y_i)
              - T_{k(i)}(x_i, y_i) \Big)

    A fit with p free numbers reads its own n rows too high by p / 2n and others too low by as much, so the truth lies
    in the middle: half of J above the test rows. Networks stop before they have learnt all that there is, which
    hides about as much again: they count in full. The rows are the same on both sides of the difference, so that it
    varies little.

    Args:
        critics: one a fold.
        tests: the test rows of each fold.

    Source:
        Akaike 1974 for the half. That networks hide twice as much is what the benchmark's tasks show.
    """
    mixed = _difference([critic.joint_scores for critic in critics], critics, tests)
    start = min(_difference([critic.start_scores for critic in critics], critics, tests), mixed)
    return Familiar(start, mixed - start)


def _difference(scores: list[Callable[[Tensor], Tensor]], critics: list[FoldCritic], tests: list[Tensor]) -> float:
    """J of one kind of scores, from rows to (n,) each; not below 0."""
    n = sum(map(len, tests))
    learnt = torch.zeros(n, dtype=torch.float64, device=tests[0].device)
    times, unseen = torch.zeros_like(learnt), torch.zeros_like(learnt)
    for score, critic, test in zip(scores, critics, tests, strict=True):
        learnt[critic.train] += score(critic.train)
        times[critic.train] += 1
        unseen[test] = score(test)
    taught = times > 0
    return max(0.0, float((learnt[taught] / times[taught] - unseen[taught]).mean()))
