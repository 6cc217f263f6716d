"""The checkers reject losses and estimates with a wrong sign, a wrong count, wrong pairs, or misaligned rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import gaussians
import oracles
import pytest
import torch
from checkers.refusals import UNEQUAL, joint_and, refuses
from contracts import invariances, values
from contracts.layouts import FORMS
from torch import Tensor
from torch.nn import functional as nnf

from infomax import PairScores
from infomax import functional as F
from infomax.critics import Critic
from infomax.pairs import Pairing
from infomax.scores import ClippedScores, StreamedScores


def flipped(scores: PairScores) -> Tensor:
    return -F.infonce_loss(scores)


def with_its_own_example_among_the_negatives(scores: PairScores) -> Tensor:
    """Count the joint scores of a global in its marginal sum, as code does that leaves the diagonal unmasked."""
    joint, marginal = joint_and(scores)
    pairing = scores.pairing
    own = torch.zeros_like(marginal).index_add(0, pairing.joint_query, joint.exp()).log()
    return nnf.softplus(scores.per_joint(torch.logaddexp(marginal, own)) - joint).mean()


def without_the_joint_score_in_the_denominator(scores: PairScores) -> Tensor:
    joint, marginal = joint_and(scores)
    return (scores.per_joint(marginal) - joint).mean()


def masked_by_minus_ten(scores: PairScores) -> Tensor:
    """Keep the global's own example among its negatives with a score of -10, as the authors' code does."""
    joint, marginal = joint_and(scores)
    minus_ten = torch.full_like(marginal, -10.0)
    return nnf.softplus(scores.per_joint(torch.logaddexp(marginal, minus_ten)) - joint).mean()


def mean_over_globals_first(scores: PairScores) -> Tensor:
    """Average per global first, which is right only if every global has the same number of joint pairs."""
    joint, marginal = joint_and(scores)
    losses = nnf.softplus(scores.per_joint(marginal) - joint)
    owner = scores.pairing.joint_query
    per_global = torch.zeros_like(marginal).index_add(0, owner, losses)
    return (per_global / torch.bincount(owner, minlength=len(marginal)).clamp_min(1)).mean()


def detached_partition(scores: PairScores) -> Tensor:
    joint, marginal = joint_and(scores)
    return nnf.softplus(scores.per_joint(marginal).detach() - joint).mean()


WRONG_INFONCE = [
    flipped,
    with_its_own_example_among_the_negatives,
    without_the_joint_score_in_the_denominator,
    masked_by_minus_ten,
    mean_over_globals_first,
    detached_partition,
]


@pytest.mark.parametrize("wrong", WRONG_INFONCE)
def test_loss_and_gradients_refuse(wrong: Callable[[PairScores], Tensor]) -> None:
    for form in FORMS:
        check = partial(values.check_loss_and_gradients, layout=UNEQUAL, form=form, masked=True)
        check(F.infonce_loss, oracles.infonce_loss)
        refuses(partial(check, wrong, oracles.infonce_loss), "gradient" if wrong is detached_partition else "loss")


def mean_over_all_pairs(scores: PairScores) -> Tensor:
    """Divide the marginal sum by N^2 P pairs instead of N (N - 1) P."""
    joint, marginal = joint_and(scores, "softplus")
    keys = scores.pairing.key_group.shape[0]
    return nnf.softplus(-joint).mean() + marginal.sum() / (len(marginal) * keys)


def mean_over_globals_of_means(scores: PairScores) -> Tensor:
    joint, marginal = joint_and(scores, "softplus")
    return nnf.softplus(-joint).mean() + (marginal / scores.count()).mean()


def authors_jsd(scores: PairScores) -> Tensor:
    """Shift the loss by -2 log 2: the gradient is right, the value wrong."""
    return F.jsd_loss(scores) - 2 * math.log(2)


def swapped_sides(scores: PairScores) -> Tensor:
    joint, marginal = joint_and(scores, "softplus")
    return nnf.softplus(joint).mean() + marginal.sum() / scores.count().sum()


@pytest.mark.parametrize(
    "wrong", [mean_over_all_pairs, mean_over_globals_of_means, authors_jsd, swapped_sides], ids=lambda f: f.__name__
)
def test_jensen_shannon_refuses(wrong: Callable[[PairScores], Tensor]) -> None:
    check = partial(values.check_loss_and_gradients, layout=UNEQUAL, form="streamed", masked=True)
    check(F.jsd_loss, oracles.jsd_loss)
    refuses(partial(check, wrong, oracles.jsd_loss), "loss")


@pytest.mark.parametrize(
    ("wrong", "oracle"),
    [
        (lambda s: -F.nwj_loss(s), oracles.nwj_loss),
        (lambda s: F.nwj_loss(s) * math.e, oracles.nwj_loss),  # e^T instead of e^(T - 1)
        (lambda s: F.dv_loss(s) + s.count().sum().log(), oracles.dv_loss),  # a sum instead of a mean
        (lambda s: F.fdivergence_loss(s, "rkl") + 1, oracles.rkl_loss),  # E[T] instead of E[T - 1]
        (lambda s: F.fdivergence_loss(s, "hellinger") / 2, oracles.hellinger_loss),
        (lambda s: 2 * F.fdivergence_loss(s, "chi2"), oracles.chi2_loss),
        (lambda s: F.jsd_loss(ClippedScores(s, 0.5)), oracles.jsd_loss),  # clipped, though no clip was given
        (lambda s: F.jsd_loss(s).float(), oracles.jsd_loss),  # a lower precision than the input has
        (lambda s: F.jsd_loss(s).expand(2), oracles.jsd_loss),
    ],
)
def test_other_losses_refuse(wrong: Callable[[PairScores], Tensor], oracle: Callable[..., complex]) -> None:
    refuses(partial(values.check_loss_and_gradients, wrong, oracle, UNEQUAL, "table", masked=True))


def log_k_of_a_full_batch(scores: PairScores) -> Tensor:
    """Use log(1 + N P), which also counts the locations of the own example and the masked locations."""
    return math.log(1 + scores.pairing.key_group.shape[0]) - F.infonce_loss(scores)


def log_k_without_the_joint_pair(scores: PairScores) -> Tensor:
    return scores.per_joint(scores.count().double().log()).mean() - F.infonce_loss(scores)


# `flipped` is the estimate without its log(1 + K).
@pytest.mark.parametrize("wrong", [flipped, log_k_of_a_full_batch, log_k_without_the_joint_pair])
def test_estimates_refuse(wrong: Callable[[PairScores], Tensor]) -> None:
    values.check_estimate(F.infonce_estimate, oracles.infonce_estimate, UNEQUAL, "streamed", masked=True)
    refuses(lambda: values.check_estimate(wrong, oracles.infonce_estimate, UNEQUAL, "streamed", masked=True))
    refuses(lambda: invariances.check_constant_critic(wrong), "constant critic")
    refuses(lambda: values.check_ceiling(wrong))


def test_shifts_refuse() -> None:
    refuses(lambda: invariances.check_shift_of_one_global(F.dv_loss), "shifted")
    refuses(lambda: invariances.check_shift_of_all(F.nwj_loss))
    refuses(lambda: invariances.check_shift_of_all(masked_by_minus_ten))
    refuses(lambda: invariances.check_constant_critic(F.nwj_estimate), "constant critic")


def test_expectations_refuse() -> None:
    truth = gaussians.gaussian_information(0.7)
    check = partial(values.check_expectation, correlation=0.7, truth=truth)
    check(F.dv_estimate)
    refuses(lambda: check(lambda s: F.dv_estimate(s) + 0.1), "exceeds")
    refuses(lambda: check(lambda s: F.dv_estimate(s) - 0.1), "misses")
    refuses(lambda: check(F.nwj_estimate), "misses")  # the optimal critic of NWJ is the log ratio plus 1
    refuses(lambda: check(lambda s: -F.jsd_loss(s)), "misses")
    refuses(lambda: check(lambda s: F.dv_estimate(s) * (1 + 5 * torch.randn(()))), "too noisy")
    refuses(lambda: check(F.dv_estimate, truth=gaussians.gaussian_information(0.6)), "exceeds")


class Shuffled(Critic):
    """A critic that rolls the global rows by one, so that they no longer match their joint pairs."""

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> PairScores:
        return StreamedScores(global_.roll(1, 0), local, pairing)


def test_layouts_refuse() -> None:
    """Misaligned global rows are detected in a layout with more than one global per example."""
    critic = Shuffled(2, 2)

    def loss(scores: StreamedScores) -> Tensor:
        return F.infonce_loss(critic.score_rows(scores.key, scores.query, scores.pairing))

    refuses(
        lambda: values.check_loss_and_gradients(loss, oracles.infonce_loss, UNEQUAL, "streamed")  # type: ignore[arg-type]
    )
