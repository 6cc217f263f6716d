"""The judge refuses known mistakes; otherwise its approval would mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from ops.cases import FLOOR, expect, judge, make, plain, solve
from torch import Tensor

from infomax.ops.problem import REDUCTIONS


def mistaken(change: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
    def op(*args: Any, **options: Any) -> tuple[Tensor, Tensor]:
        return change(list(args), options)

    return op


def unmasked(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    args[3] = args[4] = None
    return plain(*args, **options)


def no_scale(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    return plain(*args, **{**options, "scale": 1.0})


def no_clip(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    return plain(*args, **{**options, "clip": None})


def wrong_sign(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    value, joint = plain(*args, **options)
    return -value, joint


def clipped_joint(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    value, joint = plain(*args, **options)
    return value, joint.clamp(-options["clip"], options["clip"])


def straight_through_clip(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    value, joint = plain(*args, **options)
    open_value, _ = plain(*args, **{**options, "clip": None})
    return value.detach() + open_value - open_value.detach(), joint


def no_soft_clip(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    return plain(*args, **{**options, "soft_clip": None})


def hard_before_soft(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    _, joint = plain(*args, **options)
    scores = (options["scale"] * args[1] @ args[2].T).clamp(-options["clip"], options["clip"])
    # With unit vectors as keys, queries equal to these scores give the same table, so `plain` computes the rest.
    own = torch.eye(scores.shape[1], dtype=scores.dtype)
    value, _ = plain(args[0], scores, own, *args[3:], **{**options, "scale": 1.0, "clip": None})
    return value, joint


def soft_clip_without_its_slope(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Use soft-clipped values, but with the gradient of the scores before the soft clip."""
    _, joint = plain(*args, **options)
    bound, scores = options["soft_clip"], options["scale"] * args[1] @ args[2].T
    bent = (bound * (scores / bound).tanh()).detach() + scores - scores.detach()
    own = torch.eye(scores.shape[1], dtype=scores.dtype)
    value, _ = plain(args[0], bent, own, *args[3:], **{**options, "scale": 1.0, "soft_clip": None})
    return value, joint


def peak_not_added(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    value, joint = plain(*args, **options)
    scores = options["scale"] * args[1].detach() @ args[2].detach().T
    return value - scores.amax(1), joint


def joint_gradient_lost(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    value, joint = plain(*args, **options)
    return value, joint.detach() + 0.0 * joint


def swapped_pairs(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    value, joint = plain(*args, **options)
    return value, torch.cat([joint[1:2], joint[:1], joint[2:]])


def last_key_forgotten(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    _, joint = plain(*args, **options)
    args[2], args[4] = args[2][:-1], args[4][:-1]
    args[5] = args[6] = args[5][:0]
    return plain(*args, **options)[0], joint


def mean_for_sum(args: list[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    value, joint = plain(*args, **options)
    return value / args[2].shape[0], joint


MISTAKES = [
    unmasked, no_scale, no_clip, wrong_sign, clipped_joint, straight_through_clip, no_soft_clip, hard_before_soft,
    soft_clip_without_its_slope, peak_not_added, joint_gradient_lost, swapped_pairs, last_key_forgotten, mean_for_sum,
]  # fmt: skip


LAXEST = max(FLOOR, key=lambda dtype: FLOOR[dtype])


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_the_judge_refuses(mistake: Callable[..., tuple[Tensor, Tensor]]) -> None:
    """Test the dtype with the largest allowance: a mistake refused there is refused in every other dtype."""
    for reduction in REDUCTIONS:
        # The mistake is made in float64, so that the judge does not refuse mere rounding.
        case = make(reduction, (6, 24, 5), clip=1.3, soft_clip=1.7)
        allowed = solve(case.to(LAXEST), plain)
        judge(solve(case, plain), expect(case), allowed, LAXEST)
        with pytest.raises(AssertionError, match=r"is off by|was expected"):
            judge(solve(case, mistaken(mistake)), expect(case), allowed, LAXEST)


def test_the_judge_refuses_nan_and_wrong_infinities() -> None:
    case = make(sizes=(3, 4, 2), groups="none")
    case.query_group, case.key_group = torch.tensor([0, 1, 2]), torch.tensor([0, 0, 0, 0])
    expected = expect(case)
    judge(expect(case), expected, None, torch.float64)
    for wrong in (float("nan"), float("inf"), 0.0):
        broken = expect(case)
        broken.value[0] = wrong
        with pytest.raises(AssertionError, match="was expected"):
            judge(broken, expected, None, torch.float64)
    broken = expect(case)
    broken.grad_key[1, 1] = float("nan")
    with pytest.raises(AssertionError, match="off by nan"):
        judge(broken, expected, None, torch.float64)
