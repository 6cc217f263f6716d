"""The pairwise ops: rows, groups, scale and bounds."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from fuzz.oracle import attempt, check_gradients
from fuzz.source import Source
from fuzz.values import INTEGERS, integers, number, option, tensor
from infomax.ops import (
    pairwise_both_ways,
    pairwise_logsumexp,
    pairwise_softplus,
    pairwise_with_joint,
    use_backend,
    use_workspace,
)


def run(source: Source) -> None:
    m, k, d = source.choice([3, 1, 2, 5, 0]), source.choice([4, 1, 2, 7, 0]), source.choice([2, 1, 3, 0])
    dtype = source.likely(torch.float32, [torch.float64, torch.bfloat16, torch.float16])
    query, key = tensor(source, (m, d), dtype), tensor(source, (k, d), dtype)
    given: dict[str, Any] = {}
    if source.below(2):
        given["query_group"], given["key_group"] = integers(source, m, 3), integers(source, k, 3)
        if source.rarely():
            del given[source.choice(["query_group", "key_group"])]
    if source.below(4) == 3:
        given["scale"] = number(source)
    if source.below(4) == 3:
        given["clip"] = number(source)
    if source.below(4) == 3:
        given["soft_clip"] = number(source)
    backend = source.choice([None, "chunked", "reference"])
    space = option(source, [2**16, 2**26], INTEGERS)
    reduction = source.choice(["logsumexp", "softplus", "joint", "both ways"])

    def call(query: Tensor, key: Tensor, **given: Any) -> Any:
        with use_workspace(space):
            if reduction in ("joint", "both ways"):
                op: Any = pairwise_both_ways
                if reduction == "joint":
                    kind = source.choice(["logsumexp", "sum", "square_sum", "pearson", "softplus", "mean"])
                    op = partial(pairwise_with_joint, kind)
                pairs = source.below(4)
                joint = integers(source, pairs, max(1, m)), integers(source, pairs, max(1, k))
                return op(query, key, given.pop("query_group", None), given.pop("key_group", None), *joint, **given)
            return (pairwise_logsumexp if reduction == "logsumexp" else pairwise_softplus)(query, key, **given)

    names = (
        "query_group",
        "key_group",
        "scale",
        "clip",
        "soft_clip",
        "joint_",
        "reduction",
        "workspace",
        "bytes",
        "limit",
    )
    if backend is None:
        value = attempt(call, query, key, names=names, infinite=True, **given)
    else:
        with use_backend(backend):
            value = attempt(call, query, key, names=names, infinite=True, **given)
    for part in value if isinstance(value, tuple) else (value,):
        if part.requires_grad and not part.is_meta:
            attempt(part.sum().backward, retain_graph=True)
    check_gradients([query, key], [value, given])
