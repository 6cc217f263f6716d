"""The trained critics: which estimator trains each of them, and which estimators read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from benchmarks.staircase import DIM
from infomax import CLUB, FLO, SMILE, TUBA, GaussianCritic, JensenShannon, LeaveOneOut, LipschitzCritic
from infomax import functional as F
from infomax.estimators import Estimator, build_estimator
from infomax.scores import PairScores

__all__ = ["RATE", "TRAINED", "UNITS", "Pairs", "Trained"]

UNITS = 128
RATE = 1e-3
RADIUS = 4.0  # about the norm of x and y concatenated
Pairs = tuple[Tensor, Tensor]


class Separable(nn.Module):
    """A critic of a small network per side and an inner product.

    It has no batch norm, so that its scores are the same in training and in evaluation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.local, self.global_ = _encoder(), _encoder()

    def forward(self, local: Tensor, global_: Tensor) -> PairScores:
        return F.dot_scores(self.local(local), self.global_(global_))


def _encoder() -> nn.Module:
    return nn.Sequential(
        nn.Linear(DIM, UNITS), nn.ReLU(), nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Linear(UNITS, 32)
    )  # fmt: skip


class Trained:
    """Critics, the estimator whose loss trains them, and the estimators that read them.

    Args:
        readers: estimators by name; the loss of the first trains the critics.
        critics: the critics; an estimator is called with the scores of each.
    """

    def __init__(self, readers: dict[str, Estimator], critics: Sequence[nn.Module]) -> None:
        self.readers = readers
        self.critics = critics
        self.estimator = next(iter(readers.values()))
        parameters = [p for module in (*critics, self.estimator) for p in module.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=RATE, fused=True)

    def step(self, x: Tensor, y: Tensor, rate: float = RATE) -> bool:
        """Take one step and return True; if the loss is not finite, take none and return False."""
        loss = self.estimator(*self._scores(x, y))
        if not loss.isfinite():
            return False
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return True

    def read(self, batches: Iterable[Pairs]) -> dict[str, Tensor]:
        """Return the estimates of each reader, one per batch."""
        with torch.no_grad():
            scores = [self._scores(x, y) for x, y in batches]
        return {
            name: torch.stack([reader.mutual_information(*one) for one in scores])
            for name, reader in self.readers.items()
        }

    def _scores(self, x: Tensor, y: Tensor) -> list[PairScores]:
        return [critic(x, y) for critic in self.critics]


def _by_name(name: str) -> Callable[[], Trained]:
    return lambda: Trained({name: build_estimator(name)}, [Separable()])


TRAINED: dict[str, Callable[[], Trained]] = {
    # Left out: "kl" is the same as nwj, and "gan" the same as jsd.
    **{name: _by_name(name) for name in ("infonce", "dv", "mine", "nwj", "tuba", "alpha_tuba")},
    "jsd": lambda: Trained(
        {"jsd": JensenShannon(), "jsd (nwj)": JensenShannon(read="nwj"), "smile": SMILE()}, [Separable()]
    ),
    "alpha_tuba (learned)": lambda: Trained(
        {"alpha_tuba (learned)": TUBA(alpha=0.5, baseline="learned")}, [Separable()]
    ),
    "flo": lambda: Trained({"flo": FLO()}, [Separable(), Separable()]),
    **{name: _by_name(name) for name in ("rkl", "hellinger", "chi2")},
    "wasserstein": lambda: Trained(
        {"wasserstein": build_estimator("wasserstein")}, [LipschitzCritic(DIM, DIM, units=UNITS, radius=RADIUS)]
    ),
    "club": lambda: Trained({"club": CLUB(), "leave_one_out": LeaveOneOut()}, [GaussianCritic(DIM, DIM, units=UNITS)]),
}
