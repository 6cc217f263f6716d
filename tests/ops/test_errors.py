"""Errors of the ops: each names the argument, the rule and the value received, and says what to do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from infomax.ops import pairwise_logsumexp, pairwise_softplus, pairwise_with_joint

Q, K = torch.zeros(2, 3), torch.zeros(4, 3)
G, H = torch.arange(2), torch.arange(4)

REFUSED: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
    (TypeError, r"query must be a torch.Tensor, got list", ([1.0], K), {}),
    (TypeError, r"key must have a real floating dtype, got torch.int64; convert it", (Q, K.long()), {}),
    (TypeError, r"query must have a real floating dtype, got torch.complex64", (Q.to(torch.complex64), K), {}),
    (
        TypeError,
        r"query must have a floating dtype of at least 16 bits, got torch.float8_e5m2",
        (Q.to(torch.float8_e5m2),) * 2,
        {},
    ),
    (TypeError, r"same dtype, got torch.float32 and torch.float64; convert one", (Q, K.double()), {}),
    (ValueError, r"query must have shape \(M, d\), got \(2, 3, 1\); flatten", (Q[..., None], K), {}),
    (ValueError, r"key must have shape \(K, d\), got \(3,\)", (Q, K[0]), {}),
    (ValueError, r"same number of features d, got query \(2, 3\) and key \(4, 2\); project", (Q, K[:, :2]), {}),
    (ValueError, r"query on cpu, key on meta", (Q, K.to("meta")), {}),
    (ValueError, r"given together, got query_group without key_group; give both", (Q, K, G), {}),
    (ValueError, r"given together, got key_group without query_group", (Q, K, None, H), {}),
    (ValueError, r"query_group must have shape \(2,\), one for each row of query, got \(4,\)", (Q, K, H, H), {}),
    (ValueError, r"key_group must have shape \(4,\), .* got \(4, 1\)", (Q, K, G, H[:, None]), {}),
    (TypeError, r"key_group must be a tensor of integers, got torch.float32; .*long", (Q, K, G, H.float()), {}),
    (TypeError, r"query_group must be a tensor of integers, got torch.bool", (Q, K, G.bool(), H), {}),
    (TypeError, r"key_group must be a tensor of integers, got list", (Q, K, G, [0, 1, 2, 3]), {}),
    (ValueError, r"query on cpu, query_group on cpu, key_group on meta", (Q, K, G, H.to("meta")), {}),
    (TypeError, r"scale must be a number, got a torch.Tensor; multiply query", (Q, K), {"scale": torch.ones(())}),
    (TypeError, r"scale must be a number, got str", (Q, K), {"scale": "1"}),
    (ValueError, r"scale must be finite, got inf", (Q, K), {"scale": float("inf")}),
    (ValueError, r"^clip must be positive, got 0", (Q, K), {"clip": 0}),
    (ValueError, r"^clip must be finite, got nan", (Q, K), {"clip": float("nan")}),
    (TypeError, r"^clip must be a number, got bool", (Q, K), {"clip": True}),
    (ValueError, r"soft_clip must be positive, got -1.0", (Q, K), {"soft_clip": -1.0}),
    (ValueError, r"soft_clip must be finite, got inf", (Q, K), {"soft_clip": float("inf")}),
    (TypeError, r"soft_clip must be a number, got str", (Q, K), {"soft_clip": "10"}),
]


@pytest.mark.parametrize(("error", "text", "args", "options"), REFUSED, ids=[text[:32] for _, text, _, _ in REFUSED])
def test_refused(error: type[Exception], text: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    for op in (pairwise_logsumexp, pairwise_softplus):
        with pytest.raises(error, match=text):
            op(*args, **options)


@pytest.mark.parametrize(
    ("error", "text", "joint"),
    [
        (ValueError, r"joint_key must be non-decreasing, .* sort the pairs by key", (H[:2], H[:2].flip(0))),
        (ValueError, r"joint_key must have shape \(2,\), one for each row of joint_query, got \(4,\)", (G, H)),
        (ValueError, r"joint_query must have shape \(J,\), got \(1, 2\)", (G[None], G)),
        (TypeError, r"joint_query must be a tensor of integers, got torch.float32", (G.float(), G)),
        (ValueError, r"joint_query must be within \[0, 2\)", (H, H)),
        (ValueError, r"joint_query must be within \[0, 2\)", (G - 1, G)),
        (ValueError, r"joint_key must be within \[0, 4\)", (G, torch.tensor([0, 4]))),
        (ValueError, r"joint_key must be within \[0, 4\)", (G, torch.tensor([-1, 0]))),
    ],
)
def test_joint_pairs_refused(error: type[Exception], text: str, joint: tuple[Any, Any]) -> None:
    with pytest.raises(error, match=text):
        pairwise_with_joint("logsumexp", Q, K, None, None, *joint)


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"reduction must be one of logsumexp, none, pearson, softplus, square_sum, sum, got 'mean'"
    ):
        pairwise_with_joint("mean", Q, K, None, None, G, G)


def test_shapes_are_checked_without_data() -> None:
    """Tensors on the meta device hold no data, so a check that reads values would raise an error here."""
    meta = [tensor.to("meta") for tensor in (Q, K, G, H, H, H)]
    value, joint = pairwise_with_joint("logsumexp", *meta)
    assert value.shape == (2,)
    assert joint.shape == (4,)


@pytest.mark.parametrize("at", [-1, 2])
def test_joint_pairs_out_of_range_are_refused_under_a_transform(at: int) -> None:
    """Regression: a negative index was accepted and read the last row."""
    pair = torch.tensor([at]), torch.tensor([0])
    with pytest.raises(ValueError, match=r"joint_query must be within \[0, 2\), got values from"):
        torch.func.vjp(lambda query: pairwise_with_joint("logsumexp", query, K, None, None, *pair)[1], Q)


@pytest.mark.parametrize("option", ["scale", "clip", "soft_clip"])
def test_numbers_beyond_float32_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} must be at most 3.4e\\+38 in magnitude, as float32 holds it"):
        pairwise_logsumexp(Q, K, **{option: 1e39})
