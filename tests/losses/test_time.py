"""CPC, ST-DIM and AMDIM: other pairs for the same losses, against loops over examples, steps, places and scales."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from contracts.layouts import randn
from contracts.limits import check_no_table_larger_than
from tolerances import assert_close
from torch import Tensor

from infomax import InfoMaxLoss, LocalDIMLoss, ScoreRegularised
from infomax import functional as F
from infomax.ops import use_workspace
from infomax.pairs import Ahead, ahead, rows_of

C, D, STEPS = 3, 4, 3
LENGTHS = [6, 1, 3, 5]  # the second sequence has no target, the third has none three steps ahead


def gradients(loss: Tensor, *leaves: Tensor) -> list[Tensor]:
    return [loss, *torch.autograd.grad(loss, leaves)]


def agree(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, 1e-12)


class TestCPC:
    """CPC: a bilinear form and InfoNCE for each k, then the mean over k."""

    # Steps that serve as negatives beside the target, as a function of (sequence of the context, sequence, step, k).
    NEGATIVES: dict[str, Callable[[int, int, int, int], bool]] = {  # noqa: RUF012
        "targets": lambda n, m, s, k: s >= k,
        "all steps": lambda n, m, s, k: True,
        "targets elsewhere": lambda n, m, s, k: s >= k and m != n,
        "all steps elsewhere": lambda n, m, s, k: m != n,
    }

    @staticmethod
    def options(which: str, pairs: Ahead) -> dict[str, Tensor]:
        everywhere = "all steps" in which
        chosen = {"negatives": pairs.rest} if everywhere else {}
        if "elsewhere" in which:
            chosen["group"] = torch.cat([pairs.group, pairs.rest_group]) if everywhere else pairs.group
        return chosen

    @pytest.fixture
    def losses(self) -> list[InfoMaxLoss]:
        return [InfoMaxLoss(C, D, critic="bilinear", symmetric=False, dtype=torch.float64) for _ in range(STEPS)]

    @pytest.fixture
    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return features and contexts, step after step as in a packed sequence, and the sequence of each row."""
        sequence = torch.tensor([n for t in range(6) for n in range(4) if t < LENGTHS[n]])
        return randn(15, C, seed=1).requires_grad_(), randn(15, D, seed=2).requires_grad_(), sequence

    def ours(self, losses: list[InfoMaxLoss], which: str, z: Tensor, c: Tensor, **given: Tensor) -> Tensor:
        terms = []
        for k, loss_fn in enumerate(losses, 1):
            pairs = ahead(z, c, steps=k, **given)
            terms.append(loss_fn(pairs.local, pairs.global_, **self.options(which, pairs)))
        return torch.stack(terms).mean()

    def loop(self, losses: list[InfoMaxLoss], which: str, z: Tensor, c: Tensor, sequence: Tensor) -> Tensor:
        place = [(sequence == n).nonzero().flatten().tolist() for n in range(4)]
        means = []
        for k, loss_fn in enumerate(losses, 1):
            terms = []
            for n, length in enumerate(LENGTHS):
                for t in range(length - k):
                    foretold = loss_fn.critic.weight.weight @ c[place[n][t]]  # W_k c_t
                    joint = z[place[n][t + k]] @ foretold
                    others = [
                        z[place[m][s]] @ foretold
                        for m, s in itertools.product(range(4), range(6))
                        if s < LENGTHS[m] and (m, s) != (n, t + k) and self.NEGATIVES[which](n, m, s, k)
                    ]
                    terms.append(torch.stack([joint, *others]).logsumexp(0) - joint)
            means.append(torch.stack(terms).mean())
        return torch.stack(means).mean()

    @pytest.mark.parametrize("which", NEGATIVES)
    def test_ragged_and_padded_are_the_loop(self, which: str, losses: list[InfoMaxLoss], rows: tuple[Tensor, ...]):
        z, c, sequence = rows
        leaves = [z, c, *(parameter for loss in losses for parameter in loss.parameters())]
        expected = gradients(self.loop(losses, which, z, c, sequence), *leaves)
        agree(gradients(self.ours(losses, which, z, c, batch=sequence), *leaves), expected)
        mask = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
        order = sequence.argsort(stable=True)
        padded = [
            torch.full((4, 6, part.shape[1]), torch.nan, dtype=part.dtype)
            .index_put(mask.nonzero(as_tuple=True), part[order])
            .movedim(2, 1)
            for part in (z, c)
        ]
        agree(gradients(self.ours(losses, which, *padded, mask=mask), *leaves), expected)

    @pytest.mark.parametrize("which", NEGATIVES)
    def test_the_order_of_sequences_does_not_matter(self, which: str, losses: list[InfoMaxLoss], rows: tuple[Tensor]):
        z, c, sequence = rows
        renamed = torch.tensor([7, -3, 40, 0])[sequence]
        order = renamed.argsort(stable=True)
        found = self.ours(losses, which, z[order], c[order], batch=renamed[order])
        assert_close(found, self.ours(losses, which, z, c, batch=sequence), 1e-12)

    def test_a_short_sequence_is_as_if_it_were_not_there(self, losses: list[InfoMaxLoss], rows: tuple[Tensor, ...]):
        z, c, sequence = rows
        here = sequence != 1
        value, *grads = gradients(self.ours(losses, "targets", z, c, batch=sequence), z, c)
        assert_close(value, self.ours(losses, "targets", z[here], c[here], batch=sequence[here]), 1e-12)
        for grad in grads:
            assert bool((grad[~here] == 0).all())
            assert bool((grad[here].abs() > 0).any())

    def test_one_sequence_is_enough_unless_its_own_steps_are_left_out(self, losses: list[InfoMaxLoss]):
        z, c = randn(1, C, 5), randn(1, D, 5, seed=1)
        assert bool(self.ours(losses, "targets", z, c).isfinite())
        with pytest.raises(ValueError, match=r"at least two groups among .* no pair would be marginal"):
            self.ours(losses, "targets elsewhere", z, c)
        with pytest.raises(ValueError, match=r"at least two groups among .* and the given negatives, got only 0"):
            self.ours(losses, "all steps elsewhere", z, c)

    def test_no_table_of_steps_by_steps(self):
        z, c = (torch.randn(16, 8, 64).requires_grad_() for _ in range(2))
        loss_fn = InfoMaxLoss(8, 8, critic="bilinear", symmetric=False)
        pairs = ahead(z, c, steps=4)
        with use_workspace(2**20):
            check_no_table_larger_than(2**18, lambda: loss_fn(pairs.local, pairs.global_, negatives=pairs.rest))
        assert len(pairs.local) ** 2 > 3 * 2**18


EPISODES = torch.tensor([0, 0, 0, 2, 5, 5, 5, 5])  # one episode has a single frame
NEXT = [(0, 1), (1, 2), (4, 5), (5, 6), (6, 7)]


def infonce(joint: Tensor, others: list[Tensor]) -> Tensor:
    return torch.stack([joint, *others]).logsumexp(0) - joint


class TestSTDIM:
    """ST-DIM: the vector of a frame with the locations of the next frame, and locations with locations."""

    @pytest.fixture
    def frames(self) -> tuple[Tensor, Tensor]:
        return randn(8, C, 2, 2, seed=1).requires_grad_(), randn(8, D, seed=2).requires_grad_()

    @pytest.mark.parametrize("elsewhere", [False, True])
    def test_vector_with_the_locations_of_all_other_frames(self, frames: tuple[Tensor, Tensor], elsewhere: bool):
        maps, vectors = frames
        loss_fn = LocalDIMLoss(C, D, critic="bilinear", dtype=torch.float64)
        pairs = ahead(maps, vectors, steps=1, batch=EPISODES)
        found = loss_fn(pairs.local, pairs.global_, group=pairs.group if elsewhere else None)
        terms = []
        for t, after in NEXT:
            foretold = loss_fn.critic.weight.weight @ vectors[t]
            frames_ = [other for s, other in NEXT if s != t and not (elsewhere and EPISODES[s] == EPISODES[t])]
            others = [maps[other, :, i, j] @ foretold for other in frames_ for i in (0, 1) for j in (0, 1)]
            terms += [infonce(maps[after, :, i, j] @ foretold, others) for i in (0, 1) for j in (0, 1)]
        leaves = [maps, vectors, *loss_fn.parameters()]
        agree(gradients(found, *leaves), gradients(torch.stack(terms).mean(), *leaves))

    @pytest.mark.parametrize("elsewhere", [False, True])
    @pytest.mark.parametrize("context", ["vector", "location"])
    def test_as_published_each_place_among_the_same_place_of_other_frames(
        self, frames: tuple[Tensor, Tensor], context: str, elsewhere: bool
    ):
        maps, vectors = frames
        here = maps if context == "location" else vectors[:, :, None, None].expand(-1, -1, 2, 2)
        loss_fn = InfoMaxLoss(C, here.shape[1], critic="bilinear", symmetric=False, dtype=torch.float64)
        pairs = ahead(maps, here, steps=1, batch=EPISODES)
        places = zip(pairs.local.flatten(2).unbind(2), pairs.global_.flatten(2).unbind(2), strict=True)
        group = pairs.group if elsewhere else None
        found = torch.stack([loss_fn(x, y, group=group) for x, y in places]).mean()
        terms = []
        for (t, after), i, j in itertools.product(NEXT, (0, 1), (0, 1)):
            foretold = loss_fn.critic.weight.weight @ here[t, :, i, j]
            frames_ = [other for s, other in NEXT if s != t and not (elsewhere and EPISODES[s] == EPISODES[t])]
            others = [maps[other, :, i, j] @ foretold for other in frames_]
            terms.append(infonce(maps[after, :, i, j] @ foretold, others))
        leaves = [maps, *([vectors] if context == "vector" else []), *loss_fn.parameters()]
        agree(gradients(found, *leaves), gradients(torch.stack(terms).mean(), *leaves))

    def test_location_with_location_among_all_places_of_other_frames(self, frames: tuple[Tensor, Tensor]):
        maps, _ = frames
        loss_fn = InfoMaxLoss(C, C, critic="bilinear", symmetric=False, dtype=torch.float64)
        pairs = ahead(maps, maps, steps=1, batch=EPISODES)
        frame = torch.arange(len(NEXT)).repeat_interleave(4)
        found = loss_fn(rows_of(pairs.local).flatten(0, 1), rows_of(pairs.global_).flatten(0, 1), group=frame)
        terms = []
        for (t, after), i, j in itertools.product(NEXT, (0, 1), (0, 1)):
            foretold = loss_fn.critic.weight.weight @ maps[t, :, i, j]
            others = [maps[other, :, a, b] @ foretold for s, other in NEXT if s != t for a in (0, 1) for b in (0, 1)]
            terms.append(infonce(maps[after, :, i, j] @ foretold, others))
        leaves = [maps, *loss_fn.parameters()]
        agree(gradients(found, *leaves), gradients(torch.stack(terms).mean(), *leaves))

    def test_padded_episodes(self, frames: tuple[Tensor, Tensor]):
        """Padded episodes (N, c, T, h, w) with a mask of steps give the same loss as a list of frames."""
        maps, vectors = frames
        names, index = EPISODES.unique(return_inverse=True)
        lengths = index.bincount()
        mask = torch.arange(4) < lengths[:, None]
        films = [torch.full((len(names), 4, *part.shape[1:]), torch.nan).double() for part in (maps, vectors)]
        for film, part in zip(films, (maps, vectors), strict=True):
            film[mask] = part.detach()
        loss_fn = LocalDIMLoss(C, D, critic="bilinear", dtype=torch.float64)
        padded = ahead(*(film.movedim(2, 1) for film in films), steps=1, mask=mask)
        ragged = ahead(maps, vectors, steps=1, batch=EPISODES)
        assert_close(loss_fn(padded.local, padded.global_), loss_fn(ragged.local, ragged.global_), 1e-12)


def test_amdim_over_views_and_scales() -> None:
    """Maps with sides 3 and 1, 2 and 1, 3 and 3, in both directions; a soft clip, and a penalty on raw scores."""
    n, u, clip, weight = 3, 5, 3.0, 0.04
    views = [[randn(n, u, side, side, seed=10 * view + side).requires_grad_() for side in (1, 2, 3)] for view in (0, 1)]
    estimator = ScoreRegularised("infonce", clip=clip, weight=weight)
    found, expected = [], []
    for (_, two, three), (other_one, _, other_three) in (views, views[::-1]):
        for local, global_ in ((three, other_one), (two, other_one), (three, other_three)):
            found.append(estimator(F.dot_scores(local, global_, scale=u**-0.5)))
            keys, queries = rows_of(local), rows_of(global_)
            terms, squares = [], []
            for i, q in itertools.product(range(n), range(queries.shape[1])):
                raw = [[key @ queries[i, q] / u**0.5 for key in keys[j]] for j in range(n)]
                squares += [score**2 for scores in raw for score in scores]
                bent = [[clip * (score / clip).tanh() for score in scores] for scores in raw]
                others = [score for j in range(n) if j != i for score in bent[j]]
                terms += [infonce(joint, others) for joint in bent[i]]
            expected.append(torch.stack(terms).mean() + weight * torch.stack(squares).mean())
    leaves = [feature for view in views for feature in view]
    agree(gradients(torch.stack(found).mean(), *leaves), gradients(torch.stack(expected).mean(), *leaves))
