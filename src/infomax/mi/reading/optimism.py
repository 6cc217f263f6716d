"""The optimism of critics: how much higher they score the rows that trained them than unseen rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from infomax.mi.reading.held_out import FoldCritic

__all__ = ["Optimism", "optimism"]


class Optimism(NamedTuple):
    """Nats by which critics score rows higher if the rows trained them than if the same rows are test rows."""

    start: float
    """The part that is due to the closed forms."""
    networks: float
    """The part that networks add."""

    @property
    def correction(self) -> float:
        """Nats by which the bound on test rows is taken to be too low."""
        return self.start / 2 + self.networks


def optimism(critics: list[FoldCritic], tests: list[Tensor]) -> Optimism:
    r"""Compare the scores of each row by the critics that it trained with its score by the critic that tests it.

    .. math:: \hat J = \frac{1}{n} \sum_i \Big( \operatorname{mean}_{k:\, i \in \text{train}_k} T_k(x_i, y_i)
              - T_{k(i)}(x_i, y_i) \Big)

    A fit with p free numbers reads its own n rows too high by p / 2n, and unseen rows too low by as much. So the truth
    is in the middle, half of J above the test rows. Networks stop before they have learnt everything, which hides about
    as much again, so their part of J counts in full. Both terms of J average over the same rows, so J varies little.

    Args:
        critics: the critic of each fold.
        tests: the test rows of each fold.

    Source:
        Efron 1986, "How biased is the apparent error rate of a prediction rule?", for the term. Akaike 1974 for the
        half. That the part of networks counts in full is a result of the benchmark's tasks.
    """
    mixed = _difference([critic.joint_scores for critic in critics], critics, tests)
    start = min(_difference([critic.start_scores for critic in critics], critics, tests), mixed)
    return Optimism(start, mixed - start)


def _difference(scores: list[Callable[[Tensor], Tensor]], critics: list[FoldCritic], tests: list[Tensor]) -> float:
    """Compute J, not below 0, from one function of rows per fold that returns scores (n,)."""
    n = sum(map(len, tests))
    learnt = torch.zeros(n, dtype=torch.float64, device=tests[0].device)
    times, unseen = torch.zeros_like(learnt), torch.zeros_like(learnt)
    for score, critic, test in zip(scores, critics, tests, strict=True):
        learnt[critic.train] += score(critic.train)
        times[critic.train] += 1
        unseen[test] = score(test)
    taught = times > 0
    return max(0.0, float((learnt[taught] / times[taught] - unseen[taught]).mean()))
