"""The rows that a loss pairs: maps, masks, ragged rows, given negatives, groups, and negatives of each pair."""

from __future__ import annotations

from typing import Any

import torch

from fuzz.oracle import Finding, attempt
from fuzz.source import Source
from fuzz.values import integers, mask, option, size, tensor
from infomax.pairs import pair_own, pair_rows, rows_of


def run(source: Source) -> None:
    torch.manual_seed(source.byte())
    source.choice([_rows, _own, _rows_of])(source)


def _rows(source: Source) -> None:
    n, places = source.choice([4, 3, 2, 1, 0]), source.choice([(5,), (2, 3), (), (0,)])
    global_ = tensor(source, (n, 2, *source.choice([(), (2,)])))
    given: dict[str, Any] = {}
    if source.below(3) == 2:
        count = source.choice([6, 4, 1, 0])
        local = tensor(source, (count, 3))
        given["batch"] = integers(source, count, n)
    else:
        local = tensor(source, (n, 3, *places))
        if source.below(2):
            given["mask"] = mask(source, (n, *places))
    more = source.choice([0, 2, 1])
    if source.below(2):
        given["negatives"] = tensor(source, (more, 3))
        given["in_batch"] = not source.rarely()
    if source.below(2):
        count = n + more if "negatives" in given and source.below(2) else n
        given["group"] = integers(source, count, 3)
    if source.rarely():
        given["sample_locations"] = size(source, (2, 1))
    if source.rarely():
        given["sample_negatives"] = size(source, (1, 2))
    rows = attempt(pair_rows, local, global_, **given)
    pairing = rows.pairing
    if len(rows.global_) != pairing.examples * pairing.globals_ or len(rows.local) != len(pairing.key_group):
        raise Finding("a pairing of other rows")
    if bool((pairing.marginal_count() < 0).any()) or bool((pairing.joint_count() < 1).any()):
        raise Finding("a global without a joint pair, or with fewer than no marginal pairs")


def _own(source: Source) -> None:
    n, own = source.choice([4, 2, 1, 0]), source.choice([3, 1, 0])
    x, y = tensor(source, (n, 3)), tensor(source, (n, 2))
    negatives = tensor(source, (n, own, 3))
    rows = attempt(pair_own, x, y, negatives)
    if len(rows.local) != len(rows.global_) or rows.own != negatives.shape[1]:
        raise Finding("rows that are not aligned")


def _rows_of(source: Source) -> None:
    shape = option(source, [(4, 3, 2), (4, 3), (2, 3, 2, 2)], [(4,), (), (0, 3), (4, 0), (2, 3, 0)])
    attempt(rows_of, tensor(source, shape), names=("features",))
