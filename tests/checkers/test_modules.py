"""The checkers reject modules that keep or lose state, mask wrongly, leak gradients between players or do not learn."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from checkers.refusals import refuses
from contracts import invariances, modules
from contracts.layouts import randn
from torch import Tensor, nn
from torch.nn import functional as nnf

from infomax import Estimator, InfoNCE, LocalDIMLoss, PairScores, PriorMatchingLoss
from infomax import functional as F
from infomax.critics import Projection
from infomax.pairs import Pairing, rows_of
from infomax.prior import PriorTerms
from infomax.scores import StreamedScores, TableScores


class Forgetful(Estimator):
    """An estimator whose loss reuses the value of an earlier estimate, which has no graph."""

    kept: Tensor | None = None

    def forward(self, scores: PairScores) -> Tensor:
        return F.infonce_loss(scores) if self.kept is None else self.kept

    def estimate(self, scores: PairScores) -> Tensor:
        self.kept = F.infonce_loss(scores)
        return -self.kept


def test_estimate_first_refuses() -> None:
    modules.check_estimate_first(InfoNCE())
    refuses(lambda: modules.check_estimate_first(Forgetful()), "after an estimate")


class Recording(LocalDIMLoss):
    """A loss that measures in training mode, so that the statistics of batch norm change."""

    def mutual_information(self, local: Tensor, global_: Tensor, mask: Tensor | None = None) -> Tensor:
        with torch.no_grad():
            return self.estimator.mutual_information(self.scores(local, global_, mask))


class Trainable(LocalDIMLoss):
    def mutual_information(self, local: Tensor, global_: Tensor, mask: Tensor | None = None) -> Tensor:
        self.eval()
        nats = F.infonce_estimate(self.scores(local, global_, mask))
        self.train()
        return nats


def test_measuring_refuses() -> None:
    local, global_ = randn(4, 3, 5), randn(4, 2)
    modules.check_measures_without_trace(LocalDIMLoss(3, 2, units=4).double(), local, global_)
    refuses(
        lambda: modules.check_measures_without_trace(Recording(3, 2, units=4).double(), local, global_), "has changed"
    )
    refuses(lambda: modules.check_measures_without_trace(Trainable(3, 2, units=4).double(), local, global_))


class Unregistered(LocalDIMLoss):
    """A loss whose state is not a buffer, so that a copy by state dict loses it."""

    def forward(self, *args: Any, **keywords: Any) -> Tensor:
        self.seen = getattr(self, "seen", 0) + 1
        return super().forward(*args, **keywords) * self.seen


def test_copies_refuse() -> None:
    local, global_ = randn(4, 3, 5), randn(4, 2)
    modules.check_copies(lambda: LocalDIMLoss(3, 2, units=4).double(), local, global_)
    refuses(lambda: modules.check_copies(lambda: Unregistered(3, 2, units=4).double(), local, global_))


class Careless(nn.Module):
    """A local loss that projects the rows of masked locations too, and applies the mask in a wrong way."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how = how
        self.projection = Projection(3, 4)
        self.other = Projection(2, 4)
        self.double()

    def forward(self, local: Tensor, global_: Tensor, mask: Tensor | None = None) -> Tensor:
        n, p = local.shape[0], local.flatten(2).shape[2]
        present = torch.ones(n, p, dtype=torch.bool) if mask is None else mask.flatten(1)
        rows = rows_of(local)
        if self.how == "multiplied":
            rows = rows * present[..., None]
        if self.how == "batch norm":  # no NaN is left, but the statistics count the zeros
            rows = rows.masked_fill(~present[..., None], 0.0)
        projected = self.projection(rows.reshape(n * p, -1))
        query = self.other(global_)
        if self.how in ("multiplied", "batch norm", "after"):
            keep = present.flatten()
            pairing = Pairing(n, 1, present.nonzero()[:, 0])
            return F.infonce_loss(StreamedScores(query, projected[keep], pairing))
        assert self.how == "large negative"
        table = (query @ projected.T).masked_fill(~present.flatten(), -1e4)
        return F.infonce_loss(TableScores(table, Pairing(n, 1, torch.arange(n).repeat_interleave(p), locations=p)))


@pytest.mark.parametrize("how", ["multiplied", "batch norm", "after", "large negative"])
def test_masks_refuse(how: str) -> None:
    local, global_ = randn(4, 3, 5), randn(4, 2)
    mask = torch.rand(4, 5, generator=torch.Generator().manual_seed(0)) < 0.6
    mask[:, 0] = True
    checks = {
        "absence": lambda make: invariances.check_mask_is_absence(make, local, global_, mask),
        "padding": lambda make: invariances.check_padding_is_mask(make, local, global_),
    }
    for name, check in checks.items():
        torch.manual_seed(0)
        check(partial(honest, 3, 2))
        if not (how == "batch norm" and name == "absence"):  # zeros hide what was masked
            refuses(partial(check, partial(Careless, how)))


def honest(local_dim: int, global_dim: int) -> LocalDIMLoss:
    torch.manual_seed(0)
    return LocalDIMLoss(local_dim, global_dim, units=4).double()


class Leaky(PriorMatchingLoss):
    """A prior term with one of the usual mistakes in adversarial training."""

    def __init__(self, how: str) -> None:
        super().__init__(4)
        self.how = how

    def terms(self, y: Tensor, *, generator: torch.Generator | None = None) -> PriorTerms:
        y = y.sigmoid()
        real = torch.rand(y.shape, generator=generator)
        data = y if self.how == "D's loss trains the encoder" else y.detach()
        judge = self.discriminator
        on_data, on_prior = judge(data), judge(real)
        discriminator = nnf.softplus(-on_prior).mean() + nnf.softplus(on_data).mean()
        if self.how == "the encoder's loss trains D":
            return PriorTerms(nnf.softplus(-judge(y)).mean(), discriminator)
        frozen = {name: value.detach() for name, value in judge.named_parameters()}
        judged = torch.func.functional_call(judge, frozen, (y.detach() if self.how == "nobody trains it" else y,))
        return PriorTerms(nnf.softplus(-judged).mean(), discriminator)

    def forward(self, y: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        terms = self.terms(y, generator=generator)
        if self.how == "one loss, minus the other":
            return terms.discriminator - terms.encoder
        return terms.encoder + terms.discriminator


@pytest.mark.parametrize(
    "how",
    [
        "D's loss trains the encoder",
        "the encoder's loss trains D",
        "nobody trains it",
        "one loss, minus the other",
    ],
)
def test_games_refuse(how: str) -> None:
    modules.check_players_apart(Leaky("not at all"))
    refuses(lambda: modules.check_players_apart(Leaky(how)))


class Ascent(LocalDIMLoss):
    def forward(self, *args: Any, **keywords: Any) -> Tensor:
        return -super().forward(*args, **keywords)


class Deaf(LocalDIMLoss):
    """A loss whose critic gets zeros instead of the features."""

    def forward(self, local: Tensor, global_: Tensor, *rest: Any, **keywords: Any) -> Tensor:
        return super().forward(0 * local, 0 * global_, *rest, **keywords)


class Poisoned(LocalDIMLoss):
    def forward(self, *args: Any, **keywords: Any) -> Tensor:
        return super().forward(*args, **keywords) * math.nan


@pytest.mark.parametrize("wrong", [Ascent, Deaf, Poisoned])
def test_overfitting_refuses(wrong: type[LocalDIMLoss]) -> None:
    encoder, images = nn.Linear(4, 8), torch.randn(6, 4)

    def forward(net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        y = net(x)
        return y.view(6, 4, 2), y[:, :4]

    check = partial(modules.check_overfits, forward=forward, encoder=encoder, images=images, steps=30)
    refuses(lambda: check(wrong(4, 4, critic="bilinear")), "information went|loss is nan")
    check(LocalDIMLoss(4, 4, critic="bilinear"), steps=60, lr=2e-2)
