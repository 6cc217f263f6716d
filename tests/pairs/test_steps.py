"""Pairs of rows some steps apart in time: which rows they are, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from contracts.layouts import randn
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from infomax.pairs import ahead

C, D = 2, 3


def packed(lengths: list[int], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return features and contexts whose values are their sequence and step, in random order, and their sequences."""
    draw = torch.Generator().manual_seed(seed)
    sequence = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    sequence = sequence[torch.randperm(len(sequence), generator=draw)]
    step = torch.stack([(sequence[:place] == sequence[place]).sum() for place in range(len(sequence))])
    rows = torch.stack([sequence, step], 1).double()
    return rows, torch.cat([rows, -rows[:, :1]], 1), sequence


def padded(rows: Tensor, sequence: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Return the same rows as (N, c, T) with NaN after the last step, and the mask."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    found = torch.full((len(lengths), max(lengths), rows.shape[1]), torch.nan, dtype=rows.dtype)
    found[mask] = rows[sequence.argsort(stable=True)]
    return found.movedim(2, 1), mask


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(lambda lengths: max(lengths) > 1),
    st.integers(1, 5),
    st.integers(0, 99),
)
def test_pairs_are_those_of_a_loop(lengths: list[int], steps: int, seed: int) -> None:
    rows, contexts, sequence = packed(lengths, seed)
    maps, mask = padded(rows, sequence, lengths)
    joint = [(n, t) for n, length in enumerate(lengths) for t in range(length - steps)]
    rest = [(n, t) for n, length in enumerate(lengths) for t in range(min(steps, length))]
    calls: list[tuple[Tensor, Tensor, dict[str, Any]]] = [
        (rows, contexts, {"batch": sequence}),
        (maps, padded(contexts, sequence, lengths)[0], {"mask": mask}),
    ]
    for local, global_, options in calls:
        if not joint:
            with pytest.raises(ValueError, match=r"longest sequence|mask must leave two real steps"):
                ahead(local, global_, steps=steps, **options)
            continue
        found = ahead(local, global_, steps=steps, **options)
        assert found.local.tolist() == [[n, t + steps] for n, t in joint]
        assert found.global_.tolist() == [[n, t, -n] for n, t in joint]
        assert found.group.tolist() == [n for n, _ in joint]
        assert found.rest.tolist() == [[n, t] for n, t in rest]
        assert found.rest_group.tolist() == [n for n, _ in rest]


def test_maps_volumes_and_whole_sequences() -> None:
    """Spatial axes stay last. Without a mask every step is real.

    A row may be a context in one pair and a target in another.
    """
    video = randn(3, C, 5, 4, 2)
    found = ahead(video, video, steps=2)
    assert torch.equal(found.local.view(3, 3, C, 4, 2), video.movedim(2, 1)[:, 2:])
    assert torch.equal(found.global_.view(3, 3, C, 4, 2), video.movedim(2, 1)[:, :-2])
    assert torch.equal(found.rest.view(3, 2, C, 4, 2), video.movedim(2, 1)[:, :2])
    frames = video.movedim(2, 1).flatten(0, 1)
    again = ahead(frames, frames, steps=2, batch=torch.arange(3).repeat_interleave(5))
    for one, other in zip(found, again, strict=True):
        assert torch.equal(one, other)


def test_a_missing_step_in_the_middle_takes_its_pairs_along() -> None:
    z = torch.arange(6.0).view(1, 1, 6)
    found = ahead(z, z, steps=2, mask=torch.tensor([[True, True, True, False, True, True]]))
    assert found.global_.flatten().tolist() == [0, 2]
    assert found.local.flatten().tolist() == [2, 4]
    assert found.rest.flatten().tolist() == [0, 1, 5]


Z, X = torch.zeros(2, C, 4), torch.zeros(2, D, 4)
ROWS, CONTEXTS, INDEX = torch.zeros(5, C), torch.zeros(5, D), torch.tensor([0, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("local", "global_", "options", "error", "message"),
    [
        (Z, X, {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        (Z, X, {"steps": 1.0}, TypeError, "steps must be an integer, got float"),
        (Z, X, {"steps": 4}, ValueError, "longest sequence, got 4 for sequences of at most 4 steps"),
        (Z, X, {"steps": 40}, ValueError, "steps must be less than the length of the longest sequence, got 40"),
        (Z[:0], X[:0], {}, ValueError, "there is no joint pair"),
        (Z, X, {"mask": torch.arange(8).view(2, 4) % 2 == 0}, ValueError, "real steps that are 1 apart .*got 4 real"),
        (Z.long(), X, {}, TypeError, "local must have a real floating dtype"),
        (Z, [1.0], {}, TypeError, "global_ must be a torch.Tensor, got list"),
        (
            ROWS,
            CONTEXTS,
            {},
            ValueError,
            r"\(N, channels, T, \*spatial\), got \(5, 2\); steps as rows come with batch=",
        ),
        (Z, X[:, :, :3], {}, ValueError, r"the same sequences and steps, got \(2, 2, 4\) and \(2, 3, 3\)"),
        (Z, X[:1], {}, ValueError, "the same sequences and steps"),
        (Z, X, {"mask": torch.ones(2, 4)}, TypeError, "mask must be a bool tensor"),
        (Z, X, {"mask": torch.ones(2, 3).bool()}, ValueError, r"mask must have the shape \(2, 4\) to fit the steps of"),
        (Z, X, {"mask": torch.zeros(2, 4).bool()}, ValueError, "there is no joint pair"),
        (ROWS, CONTEXTS, {"batch": INDEX.float()}, TypeError, "batch must be a tensor of integers, got torch.float32"),
        (ROWS, CONTEXTS, {"batch": INDEX[:4]}, ValueError, r"sequence of each row .* got \(4,\) for \(5, 2\)"),
        (ROWS, CONTEXTS[:4], {"batch": INDEX}, ValueError, r"for \(5, 2\) and \(4, 3\)"),
        (ROWS, CONTEXTS, {"batch": INDEX, "mask": torch.ones(5).bool()}, ValueError, "must not be given together"),
    ],
)
def test_bad_input_is_refused(
    local: Tensor, global_: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ahead(local, global_, **{"steps": 1, **options})
