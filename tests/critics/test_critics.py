"""Critics: each is compared with its formula on an explicit table, gradients included; all obey one contract."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from contracts.layouts import randn
from tolerances import NETWORK, assert_close
from torch import Tensor, nn
from torch.nn import functional as nnf

from infomax import (
    BilinearCritic,
    ConcatCritic,
    CosineCritic,
    Critic,
    DotCritic,
    GaussianCritic,
    LipschitzCritic,
    LocalDIMLoss,
    PairwiseCritic,
)
from infomax import functional as F
from infomax.critics import Projection, build_critic
from infomax.ops import use_workspace
from infomax.ops.problem import REDUCTIONS
from infomax.pairs import Pairing, pair_rows
from infomax.scores import PairScores, StreamedScores

C, D = 3, 5


class Distance(nn.Module):
    """A user's critic that is not an inner product of embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(D, C)

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        return -(local - self.embed(global_)).abs().sum(1, keepdim=True)


class Streamed(Critic):
    """A user's critic that gives streamed scores."""

    def __init__(self) -> None:
        super().__init__(C, D)
        self.weight = nn.Parameter(torch.randn(C, D))

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> PairScores:
        return StreamedScores(global_ @ self.weight.T, local, pairing, 0.5)


CRITICS: dict[str, Callable[[], Critic]] = {
    "dot": lambda: DotCritic(C, D, units=8),
    "dot, no norm": lambda: DotCritic(C, D, units=8, layer_norm=False, scale=2.0),
    "bilinear": lambda: BilinearCritic(C, D, scale=0.5),
    "cosine": lambda: CosineCritic(C, D, units=8, temperature=0.2),
    "concat": lambda: ConcatCritic(C, D, units=8),
    "gaussian": lambda: GaussianCritic(C, D, units=8),
    "lipschitz": lambda: LipschitzCritic(C, D, units=8, radius=0.7),
    "own module": lambda: PairwiseCritic(Distance(), C, D, floats_per_pair=2000),
    "own streamed": Streamed,
}
by_critic = pytest.mark.parametrize("name", CRITICS)


def formula(critic: Critic, local: Tensor, global_: Tensor) -> Tensor:
    """Return all scores (M, K) of local rows (K, C) and global rows (M, D), by explicit formulas."""
    if isinstance(critic, DotCritic):
        return critic.scale * critic.global_projection(global_) @ critic.local_projection(local).T
    if isinstance(critic, BilinearCritic):
        return critic.scale * torch.einsum("md,cd,kc->mk", global_, critic.weight.weight, local)
    if isinstance(critic, CosineCritic):
        one, other = critic.global_projection(global_), critic.local_projection(local)
        return nnf.cosine_similarity(one[:, None], other[None], dim=-1) * critic.scale
    if isinstance(critic, GaussianCritic):
        mean, log_variance = critic.conditional(local)
        normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp(), validate_args=False)
        return normal.log_prob(global_[:, None]).sum(-1)
    if isinstance(critic, LipschitzCritic):
        one, other = (
            torch.stack([row if row.norm() <= critic.radius else critic.radius * row / row.norm() for row in rows])
            for rows in (critic.global_projection(global_), critic.local_projection(local))
        )
        return one @ other.T / critic.radius
    every = [global_[:, None].expand(-1, len(local), -1), local[None].expand(len(global_), -1, -1)]
    if isinstance(critic, ConcatCritic):
        # The formula of the paper: one linear layer on the concatenated features.
        weight = torch.cat([critic.global_layer.weight, critic.local_layer.weight], 1)
        hidden = nnf.linear(torch.cat(every, -1), weight, critic.local_layer.bias)
        _, second, _, third = critic.rest
        return nnf.linear(nnf.linear(hidden.relu(), second.weight, second.bias).relu(), third.weight, third.bias)[
            ..., 0
        ]
    if isinstance(critic, PairwiseCritic):
        return critic.module(every[1].flatten(0, 1), every[0].flatten(0, 1)).view(len(global_), len(local))
    assert isinstance(critic, Streamed)
    return 0.5 * global_ @ critic.weight.T @ local.T


def data(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    local, global_ = randn(4, C, 2, 3, dtype=dtype), randn(4, D, 2, seed=1, dtype=dtype)
    mask = torch.ones(4, 2, 3, dtype=torch.bool)
    mask[1, 0, 1:], mask[3, 1] = False, False
    return local.requires_grad_(), global_.requires_grad_(), mask


@by_critic
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_scores_are_the_formula_on_every_pair(name: str, masked: bool) -> None:
    """Values and gradients, of features and of every parameter, equal those of a table of all pairs in plain torch.

    The log-sum-exp is compared because every score affects it. Other reductions do not depend on the critic.
    """
    critic = CRITICS[name]().double()
    local, global_, mask = data()
    present = mask.flatten() if masked else torch.ones(24, dtype=torch.bool)
    rows = local.flatten(2).transpose(1, 2).reshape(24, C)[present]
    queries = global_.transpose(1, 2).reshape(8, D)
    table = formula(critic, rows, queries)
    own = torch.arange(8)[:, None] // 2 == (torch.arange(24) // 6)[present]
    expected = torch.stack([scores[~mine].logsumexp(0) for scores, mine in zip(table, own, strict=True)])
    weights = randn(8, seed=5)
    with use_workspace(2**16):
        found = critic(local, global_, mask if masked else None).reduce("logsumexp")
        gradients = torch.autograd.grad(
            (weights * found.marginal).sum() + found.joint.square().sum(),
            [local, global_, *critic.parameters()],
            allow_unused=True,
        )
    assert_close(found.marginal, expected, 1e-10, "marginal")
    assert_close(found.joint.sort().values, table[own].sort().values, 1e-10, "joint")
    expected_gradients = torch.autograd.grad(
        (weights * expected).sum() + table[own].square().sum(),
        [local, global_, *critic.parameters()],
        allow_unused=True,
    )
    for one, other in zip(gradients, expected_gradients, strict=True):
        assert_close(one, other, 1e-9, "gradient")


@by_critic
class TestContract:
    def test_copies(self, name: str) -> None:
        critic = CRITICS[name]().eval()
        local, global_, _ = data(torch.float32)
        expected = critic(local, global_).reduce("logsumexp").marginal
        fresh = CRITICS[name]().eval()
        fresh.load_state_dict(critic.state_dict())
        for other in (copy.deepcopy(critic), pickle.loads(pickle.dumps(critic)), fresh):
            assert torch.equal(other(local, global_).reduce("logsumexp").marginal, expected)

    def test_float32_is_close_to_float64(self, name: str) -> None:
        critic = CRITICS[name]().eval()
        local, global_, mask = data()
        expected = copy.deepcopy(critic).double()(local, global_, mask).reduce("logsumexp")
        found = critic(local.float(), global_.float(), mask).reduce("logsumexp")
        assert found.marginal.dtype == found.joint.dtype == torch.float32
        assert_close(found.marginal, expected.marginal, NETWORK[torch.float32])
        assert_close(found.joint, expected.joint, NETWORK[torch.float32])

    def test_autocast_gives_float32_scores(self, name: str) -> None:
        """The critic may hold features in lower precision, but computes and sums every score in float32."""
        critic = CRITICS[name]()
        local, global_, mask = data(torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for hidden, negatives, reduction in itertools.product((mask, None), (None, 2), REDUCTIONS):
                rows = pair_rows(local, global_, hidden, sample_negatives=negatives)
                found = critic.score_rows(rows.local, rows.global_, rows.pairing).reduce(reduction)
                assert found.marginal.dtype == found.joint.dtype == torch.float32
        (found.marginal.sum() + found.joint.sum()).backward()
        for parameter in critic.parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all()

    def test_channels_are_checked(self, name: str) -> None:
        critic = CRITICS[name]()
        with pytest.raises(ValueError, match="local must have 3 channels, the local_dim of this critic, got 4"):
            critic(torch.zeros(4, 4, 2), torch.zeros(4, D))
        with pytest.raises(ValueError, match="global_ must have 5 channels, the global_dim of this critic, got 3"):
            critic(torch.zeros(4, C, 2), torch.zeros(4, 3))

    def test_one_example_is_refused(self, name: str) -> None:
        with pytest.raises(
            ValueError, match=r"at least 2 examples, got 1 from .*: an InfoMax objective needs other examples"
        ):
            CRITICS[name]()(torch.zeros(1, C, 2), torch.zeros(1, D))

    def test_memory_format_means_nothing(self, name: str) -> None:
        critic = CRITICS[name]().double().eval()
        local, global_, _ = data()
        expected = critic(local, global_).reduce("logsumexp").marginal
        for other in (local.to(memory_format=torch.channels_last), local.transpose(2, 3).contiguous().transpose(2, 3)):
            assert_close(critic(other, global_).reduce("logsumexp").marginal, expected, 1e-12)


class TestProjection:
    def test_it_is_the_papers_block_of_1x1_convolutions(self) -> None:
        block = Projection(C, 8).double()
        nn.init.normal_(block.norm.weight)
        nn.init.normal_(block.norm.bias)
        maps = randn(4, C, 2, 3)
        hidden = nnf.conv2d(maps, block.hidden.weight[:, :, None, None])
        norm = nn.BatchNorm2d(8).double()
        norm.load_state_dict(block.norm.state_dict())
        hidden = nnf.conv2d(norm(hidden).relu(), block.output.weight[:, :, None, None], block.output.bias)
        total = hidden + nnf.conv2d(maps, block.shortcut.weight[:, :, None, None])
        expected = nnf.layer_norm(total.movedim(1, -1), (8,), block.layer_norm.weight, block.layer_norm.bias).reshape(
            24, 8
        )
        found = block(maps.movedim(1, -1).reshape(24, C))
        assert_close(found, expected, 1e-10)
        assert_close(block.norm.running_mean, norm.running_mean, 1e-12, "statistics")

    @pytest.mark.parametrize(("features", "units"), [(3, 8), (8, 3), (4, 4)])
    def test_the_shortcut_starts_as_a_noisy_copy(self, features: int, units: int) -> None:
        weight = Projection(features, units).shortcut.weight
        assert (weight.diagonal() == 1).all()
        off = weight.detach().clone().fill_diagonal_(0)
        assert off.abs().max() <= 0.01
        assert off.std() > 0

    @pytest.mark.parametrize("units", [16, 2048])
    def test_scores_start_near_one(self, units: int) -> None:
        joint = DotCritic(C, D, units=units)(*data(torch.float32)[:2]).reduce("logsumexp").joint
        assert joint.abs().max() < 6 * (units**0.5 / 16 + 1)
        assert joint.isfinite().all()


class TestBatchNormSeesRealRowsOnly:
    def statistics(self, loss: LocalDIMLoss) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in loss.state_dict().items() if "running" in name}

    def expected(self, norm_input: Tensor) -> tuple[Tensor, Tensor]:
        return 0.1 * norm_input.mean(0), 0.9 + 0.1 * norm_input.var(0)

    def test_masked(self) -> None:
        loss = LocalDIMLoss(C, D, units=8).double()
        local, global_, mask = data()
        real = local.flatten(2).transpose(1, 2)[mask.flatten(1)]
        expected = self.expected(loss.critic.local_projection.hidden(real))
        loss(local, global_, mask)
        norm = loss.critic.local_projection.norm
        assert_close(norm.running_mean, expected[0], 1e-12)
        assert_close(norm.running_var, expected[1], 1e-12)

    def test_sampled(self) -> None:
        """Locations are drawn before the projection, so that batch norm sees only the drawn rows."""
        loss = LocalDIMLoss(C, D, units=8, sample_locations=2).double()
        local, global_, mask = data()
        for given in (None, mask):
            loss.critic.local_projection.norm.reset_running_stats()
            drawn = pair_rows(local, global_, given, sample_locations=2, generator=torch.Generator().manual_seed(7))
            expected = self.expected(loss.critic.local_projection.hidden(drawn.local))
            value = loss(local, global_, given, generator=torch.Generator().manual_seed(7))
            norm = loss.critic.local_projection.norm
            assert_close(norm.running_mean, expected[0], 1e-12)
            assert_close(norm.running_var, expected[1], 1e-12)
            scores = loss.critic.score_rows(drawn.local, drawn.global_, drawn.pairing)
            assert_close(value, F.infonce_loss(scores), 1e-12, "loss")


class TestOwnModule:
    def test_it_may_return_a_vector_or_a_column(self) -> None:
        class Vector(Distance):
            def forward(self, local: Tensor, global_: Tensor) -> Tensor:
                assert local.ndim == global_.ndim == 2
                assert (local.shape[1], global_.shape[1]) == (C, D)
                return super().forward(local, global_).squeeze(1)

        vector = Vector()
        column = Distance()
        column.load_state_dict(vector.state_dict())
        found = [LocalDIMLoss(C, D, critic=critic).double()(*data()[:2]).detach() for critic in (vector, column)]
        assert found[0] == found[1]

    def test_a_wrong_number_of_scores(self) -> None:
        class Pooled(nn.Module):
            def forward(self, local: Tensor, global_: Tensor) -> Tensor:
                return local.sum(1, keepdim=True).expand(-1, 2)

        with pytest.raises(ValueError, match=r"critic must return one score per pair.*got \(\d+, 2\) from Pooled"):
            LocalDIMLoss(C, D, critic=Pooled())(*data(torch.float32)[:2])


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: build_critic("dott", C, D), ValueError, r"critic must be one of .*dot.*got 'dott'"),
        (
            lambda: build_critic(7, C, D),
            TypeError,
            "critic must be a short name, a module, or a callable that returns one, got int",
        ),
        (lambda: build_critic(DotCritic(C, D, units=2), 9, D), ValueError, "critic must have local_dim=9.*got 3 and 5"),
        (lambda: build_critic(DotCritic(C, D, units=2), C, D, 64), ValueError, "units belongs to .*short name, got 64"),
        (
            lambda: build_critic("bilinear", C, D, 64),
            ValueError,
            "units has no meaning for the bilinear critic, got 64",
        ),
        (lambda: DotCritic(0, D), ValueError, "local_dim must be at least 1, got 0"),
        (lambda: DotCritic(C, 2.5), TypeError, "global_dim must be an integer, got float"),
        (lambda: DotCritic(C, D, units="8"), TypeError, "units must be an integer, got str"),
        (lambda: DotCritic(C, D, units=0), ValueError, "units must be at least 1, got 0"),
        (lambda: DotCritic(C, D, units=2, scale="1"), ValueError, "scale must be one of learned, got '1'"),
        (lambda: BilinearCritic(C, D, scale=None), TypeError, "scale must be a number, got NoneType"),
        (lambda: CosineCritic(C, D, temperature=0.0), ValueError, "temperature must be positive, got 0.0"),
        (lambda: CosineCritic(C, D, temperature="1"), ValueError, "temperature must be one of learned, got '1'"),
        (lambda: ConcatCritic(C, True), TypeError, "global_dim must be an integer, got bool"),
        (lambda: PairwiseCritic(Distance(), C, D, floats_per_pair=0), ValueError, "floats_per_pair must be at least 1"),
    ],
)
def test_refusals(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("dot", DotCritic), ("concat", ConcatCritic), ("cosine", CosineCritic), ("lipschitz", LipschitzCritic)],
)
def test_short_names_take_units(name: str, kind: type[Critic]) -> None:
    critic = build_critic(name, C, D, 16)
    assert type(critic) is kind
    sizes = {size for parameter in critic.parameters() for size in parameter.shape}
    assert sizes <= {1, C, D, 16}
    assert type(build_critic("bilinear", C, D)) is BilinearCritic
