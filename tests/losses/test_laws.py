"""Laws of every loss with every critic: masks, the order of examples, measuring without a trace, and copies."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from contracts.invariances import check_mask_is_absence, check_padding_is_mask, check_permutations, value_and_gradients
from contracts.layouts import for_a_loss, randn
from contracts.modules import check_copies, check_measures_without_trace
from oracles import WITH_ANY_CRITIC
from own_critic import Distance
from tolerances import assert_close
from torch import Tensor, nn

from infomax import ConcatCritic, DIMLoss, GlobalDIMLoss, InfoNCE, LocalDIMLoss
from infomax import functional as F
from infomax.pairs import pair_rows

C, D = 3, 4


def critic_options(critic: str) -> dict[str, Any]:
    if critic == "own":
        return {"critic": Distance(C, D)}
    return {"critic": critic} if critic == "bilinear" else {"critic": critic, "units": 8}


def local_loss(critic: str = "dot", estimator: str = "infonce", **options: Any) -> LocalDIMLoss:
    torch.manual_seed(0)
    return LocalDIMLoss(C, D, estimator=estimator, **critic_options(critic), **options).double()


def global_loss(critic: str = "dot", estimator: str = "infonce", **options: Any) -> GlobalDIMLoss:
    torch.manual_seed(0)
    units = None if critic == "bilinear" else 8
    return GlobalDIMLoss(C, D, (2, 3), estimator=estimator, critic=critic, units=units, **options).double()


def data(*globals_: int) -> tuple[Tensor, Tensor, Tensor]:
    local, global_ = randn(4, C, 2, 3), randn(4, D, *globals_, seed=1)
    mask = torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(2)) < 0.6
    mask[:2, 0, 0] = True
    mask[0, 1, 2] = False
    return local, global_, mask


CRITICS = ["dot", "concat", "bilinear", "cosine", "own"]
by_critic = pytest.mark.parametrize("critic", CRITICS)
SOME = [("dot", "infonce"), ("concat", "jsd"), ("bilinear", "dv"), ("cosine", "nwj"), ("own", "mine")]
by_pair = pytest.mark.parametrize(("critic", "estimator"), SOME)


@by_pair
class TestLocal:
    def test_a_masked_location_has_no_influence(self, critic: str, estimator: str) -> None:
        check_mask_is_absence(lambda: local_loss(critic, estimator), *data())

    def test_padding_is_a_mask(self, critic: str, estimator: str) -> None:
        local, global_, _ = data()
        check_padding_is_mask(lambda: local_loss(critic, estimator), local, global_)
        check_padding_is_mask(lambda: local_loss(critic, estimator), local.flatten(2), global_)

    @pytest.mark.parametrize("globals_", [(), (2,)])
    def test_order_means_nothing(self, critic: str, estimator: str, globals_: tuple[int, ...]) -> None:
        local, global_, _ = data(*globals_)
        check_permutations(local_loss(critic, estimator).eval(), local, global_, 1e-9)
        check_permutations(lambda a, b: local_loss(critic, estimator)(a, b), local, global_, 1e-9)

    def test_measuring_leaves_no_trace(self, critic: str, estimator: str) -> None:
        local, global_, _ = data()
        check_measures_without_trace(local_loss(critic, estimator), local, global_)

    def test_copies(self, critic: str, estimator: str) -> None:
        local, global_, _ = data()
        check_copies(lambda: local_loss(critic, estimator), local, global_)

    def test_any_memory_layout(self, critic: str, estimator: str) -> None:
        local, global_, mask = data(2)
        value, by_local, by_global = value_and_gradients(local_loss(critic, estimator), local, global_, mask)
        others = [
            (local.to(memory_format=torch.channels_last), global_.mT.contiguous().mT),
            (torch.stack([local, local], -1)[..., 0], torch.stack([global_, global_], -1)[..., 1]),
            (local.transpose(0, 3).contiguous().transpose(0, 3), global_.transpose(0, 1).contiguous().transpose(0, 1)),
        ]
        for other, other_global in others:
            assert not (other.is_contiguous() and other_global.is_contiguous())
            found = value_and_gradients(local_loss(critic, estimator), other, other_global, mask)
            for one, expected in zip(found, (value, by_local, by_global), strict=True):
                assert_close(one, expected, 1e-10)


@pytest.mark.parametrize(("critic", "estimator"), SOME[:-1])
class TestGlobal:
    def test_masked(self, critic: str, estimator: str) -> None:
        check_mask_is_absence(lambda: global_loss(critic, estimator), *data())

    def test_order_of_examples(self, critic: str, estimator: str) -> None:
        local, global_, _ = data(2)
        local = local.flatten(1)[:, :C]  # vectors: no locations to permute
        loss = GlobalDIMLoss(C, D, (), estimator=estimator, critic=critic).double()
        check_permutations(loss.eval(), local, global_, 1e-9)

    def test_measuring_and_copies(self, critic: str, estimator: str) -> None:
        local, global_, _ = data()
        check_measures_without_trace(global_loss(critic, estimator), local, global_)
        check_copies(lambda: global_loss(critic, estimator), local, global_)


def test_bilinear_global_takes_no_units() -> None:
    with pytest.raises(ValueError, match="units has no meaning"):
        GlobalDIMLoss(C, D, (2, 3), critic="bilinear", units=8)


def test_one_vector_is_one_location() -> None:
    """Local features (N, c), (N, c, 1) and (N, c, 1, 1) are the same."""
    local, global_ = randn(5, C), randn(5, D, seed=1)
    values = [local_loss()(local.view(5, C, *axes), global_) for axes in ((), (1,), (1, 1), (1, 1, 1))]
    assert all(torch.equal(value, values[0]) for value in values)
    masks = [torch.tensor([True, True, False, True, True]).view(5, *axes) for axes in ((), (1,), (1, 1))]
    values = [local_loss()(local.view(5, C, *mask.shape[1:]), global_, mask) for mask in masks]
    assert all(torch.equal(value, values[0]) for value in values)


@pytest.mark.parametrize("estimator", [name for name in WITH_ANY_CRITIC if name != "wasserstein"])
def test_global_objective_is_the_local_one_on_encoded_maps(estimator: str) -> None:
    loss = global_loss(estimator=for_a_loss(estimator))
    local, global_, _ = data()
    encoded = loss.map_encoder(local)
    assert encoded.shape == (4, loss.map_encoder.output_dim) == (4, 32 * 6)
    expected = LocalDIMLoss(192, D, critic=loss.critic, estimator=for_a_loss(estimator)).double()(encoded, global_)
    assert_close(loss(local, global_), expected, 1e-12)


@pytest.mark.parametrize("size", [(), (5,), (2, 3), (2, 1, 3)])
def test_global_objective_on_any_number_of_axes(size: tuple[int, ...]) -> None:
    loss = GlobalDIMLoss(C, D, size, units=8)
    local = randn(4, C, *size, dtype=torch.float32).requires_grad_()
    loss(local, randn(4, D, 2, dtype=torch.float32)).backward()
    assert local.grad is not None
    assert local.grad.any()


class TestScores:
    @by_critic
    def test_loss_and_information_from_the_same_scores(self, critic: str) -> None:
        for loss in (local_loss(critic), *([global_loss(critic)] if critic in ("dot", "concat") else [])):
            local, global_, mask = data()
            scores = loss.scores(local, global_, mask)
            nats = loss.estimator.mutual_information(scores)
            assert_close(nats, loss.mutual_information(local, global_, mask), 1e-10)
            assert_close(loss.estimator(scores), loss(local, global_, mask), 1e-12)

    def test_evaluation_mode_uses_running_statistics(self) -> None:
        local, global_, _ = data()
        loss = local_loss()
        training = loss.mutual_information(local, global_)
        evaluating = loss.eval().mutual_information(local, global_)
        assert evaluating != training
        assert_close(evaluating, F.infonce_estimate(loss.scores(local, global_)), 1e-12)

    def test_an_interrupted_measurement_leaves_no_trace(self) -> None:
        class Broken(InfoNCE):
            def estimate(self, scores: object) -> Tensor:
                raise RuntimeError("interrupted")

        loss = LocalDIMLoss(C, D, units=8, estimator=Broken()).double()
        local, global_, _ = data()
        with pytest.raises(RuntimeError, match="interrupted"):
            loss.mutual_information(local, global_)
        before = loss.critic.local_projection.norm.num_batches_tracked.clone()
        loss(local, global_)
        assert loss.critic.local_projection.norm.num_batches_tracked == before + 1


class TestFewer:
    @pytest.mark.parametrize("critic", ["bilinear", "concat"])
    def test_negatives_and_locations_on_request(self, critic: str) -> None:
        """The loss draws the same rows as `pair_rows`; the draws themselves are tested in pairs/test_draws.py."""
        local, global_, mask = data()
        loss = local_loss(critic, sample_locations=2, sample_negatives=2)
        for given in (None, mask):
            draws = [torch.Generator().manual_seed(seed) for seed in (5, 5, 6)]
            rows = pair_rows(local, global_, given, sample_locations=2, sample_negatives=2, generator=draws[0])
            value = loss(local, global_, given, generator=draws[1])
            assert_close(value, F.infonce_loss(loss.critic.score_rows(*rows[:3])), 1e-12)
            assert value != loss(local, global_, given, generator=draws[2])

    def test_by_default_the_global_generator_draws(self) -> None:
        local, global_, _ = data()
        loss = local_loss("bilinear", sample_locations=2, sample_negatives=1)
        torch.manual_seed(3)
        value = loss(local, global_)
        torch.manual_seed(3)
        assert loss(local, global_) == value

    def test_all_other_examples_are_no_draw(self) -> None:
        local, global_, _ = data()
        assert local_loss("bilinear", sample_negatives=3)(local, global_) == local_loss("bilinear")(local, global_)

    def test_fewer_negatives_lower_the_ceiling(self) -> None:
        local = 100 * torch.eye(C, dtype=torch.float64)[:, :, None].expand(C, C, 6)
        loss = LocalDIMLoss(C, C, critic="bilinear", sample_negatives=1).double()
        nn.init.eye_(loss.critic.weight.weight)
        assert_close(loss.mutual_information(local, local[..., 0]), math.log(7), 1e-12)


class TestDIM:
    def objective(self, alpha: float, beta: float, gamma: float, **options: Any) -> DIMLoss:
        torch.manual_seed(0)
        return DIMLoss(C, D, (2, 3), alpha=alpha, beta=beta, gamma=gamma, units=8, **options).double()

    @pytest.mark.parametrize("weights", [(0, 1, 0.1), (1, 0, 1), (0.5, 1, 0.1), (0, 0, 2), (2, 0, 0), (0, 3, 0)])
    def test_the_weighted_sum_of_the_terms_in_use(self, weights: tuple[float, float, float]) -> None:
        alpha, beta, gamma = weights
        objective = self.objective(*weights)
        local, global_, _ = data()
        global_.requires_grad_()
        out = objective(local, global_, generator=torch.Generator().manual_seed(0))
        assert out._fields == ("loss", "local", "global_", "prior")
        total = 0.0
        for weight, term in ((alpha, out.global_), (beta, out.local), (gamma, out.prior)):
            assert (term is None) == (weight == 0)
            if term is not None:
                assert term.ndim == 0
                total = total + weight * term
        assert_close(out.loss, total, 1e-12)
        assert out.loss.dtype == torch.float64
        out.loss.backward()
        assert all(p.grad is not None for p in objective.parameters()), "a parameter that no term uses"

    def test_terms_are_the_losses_themselves(self) -> None:
        objective = self.objective(0.5, 1, 0.1)
        local, global_, mask = data()
        out = objective(local, global_, mask, generator=torch.Generator().manual_seed(0))
        assert objective.local_term is not None
        assert objective.global_term is not None
        assert objective.prior_term is not None
        assert_close(out.local, objective.local_term(local, global_, mask), 1e-12)
        assert_close(out.global_, objective.global_term(local, global_, mask), 1e-12)
        again = objective.prior_term(global_, generator=torch.Generator().manual_seed(0))
        assert_close(out.prior, again, 1e-12)

    def test_every_term_has_its_own_critic(self) -> None:
        objective = self.objective(1, 1, 1)
        pools = [set(map(id, term.parameters())) for term in objective.children()]
        assert len(pools) == 3
        assert len(set.union(*pools)) == sum(len(pool) for pool in pools) == len(list(objective.parameters()))

    def test_as_the_contract_calls_it(self) -> None:
        objective = DIMLoss(local_dim=C, local_size=(2, 3), global_dim=D, alpha=0.0, beta=1.0, gamma=0.1, units=8)
        local, global_, mask = data()
        out = objective(local.float(), global_.float(), mask=mask)
        assert out.global_ is None
        out.loss.backward()

    def test_copies(self) -> None:
        objective = self.objective(1, 1, 1).eval()
        local, global_, _ = data()
        expected = objective(local, global_, generator=torch.Generator().manual_seed(0)).loss
        for other in (copy.deepcopy(objective), pickle.loads(pickle.dumps(objective))):
            assert other(local, global_, generator=torch.Generator().manual_seed(0)).loss == expected

    def test_critic_of_ones_own_for_a_single_term(self) -> None:
        objective = DIMLoss(C, global_dim=D, gamma=0.0, critic=ConcatCritic(C, D, units=8)).double()
        local, global_, _ = data()
        assert objective(local, global_).loss.isfinite()


@pytest.mark.parametrize("make", [local_loss, global_loss], ids=["local", "global"])
def test_the_loss_is_a_scalar_of_its_features_dtype(make: Callable[[], nn.Module]) -> None:
    local, global_, _ = data()
    assert make()(local, global_).dtype == torch.float64
    assert make().float()(local.float(), global_.float()).dtype == torch.float32
