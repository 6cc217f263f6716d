"""An auxiliary task for local features: predicting their location."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as nnf
from torch.utils.checkpoint import checkpoint

from infomax._checks import (
    check_flag,
    check_floating,
    check_generator,
    check_positive,
    check_same_device,
    check_sizes,
    shape_of,
)
from infomax._precision import check_device, check_dtype, check_fits_module, widened
from infomax._random import drawing_from
from infomax.ops.settings import workspace
from infomax.pairs.checks import check_mask_dtype, check_mask_shape, check_some_present
from infomax.pairs.rows import rows_of

__all__ = ["CoordinateLoss", "CoordinateTerms"]


class CoordinateTerms(NamedTuple):
    """The loss in nats, and the share of coordinates predicted correctly, between 0 and 1 and without gradient.

    Example:
        >>> import torch
        >>> from infomax import CoordinateLoss
        >>> loss_fn = CoordinateLoss(local_dim=8, size=(2, 2), global_dim=4)
        >>> terms = loss_fn.terms(torch.randn(4, 8, 2, 2), torch.randn(4, 4))
        >>> bool(terms.loss > 0), bool(0 <= terms.accuracy <= 1)
        (True, True)
    """

    loss: Tensor
    accuracy: Tensor


class CoordinateLoss(nn.Module):
    r"""Coordinate prediction: classification of a local feature's location from the local and the global feature.

    .. math:: \mathcal{L} = -\mathbb{E}_p \Big[ \sum_a \log q_a(p_a \mid x_p, y) \Big]

    with a softmax :math:`q_a` over the positions along each spatial axis a: rows and columns of an image. The
    *relative* form classifies the displacement to another location of the same example,
    :math:`q_a(p'_a - p_a \mid x_p, x_{p'}, y)`, with one random partner for each location. Both forms are auxiliary
    tasks, added to an information objective with a weight of your choice. They push local features to encode their
    location, and the global feature to encode which content is where.

    Args:
        local_dim: channels c of the map.
        size: spatial size of the map, such as (8, 8); any number of axes.
        global_dim: channels d of the global features.
        relative: whether to predict the displacement between two locations instead of the location of one.
        units: width of the hidden layer of the classifier.
        device: device of the parameters, as in torch modules.
        dtype: dtype of the parameters, as in torch modules.

    Shapes:
        - local: (N, c, \*size)
        - global\_: (N, d), or (N, d, \*spatial) for several globals per example, each of which predicts the location
        - mask: (N, \*size), bool, True at a real location; other locations are neither predicted nor used as partners
        - result: a scalar in nats, float32 (float64 for float64 features). For uniform predictions it is the sum over
          axes of the logarithm of the number of classes: the length of the axis, or, in the relative form, twice the
          length minus one

    Raises:
        TypeError: a dtype is not real floating, the mask is not bool, or an option has the wrong type.
        ValueError: shapes, batch sizes, devices or the mask do not fit; or no location is left, or, in the relative
            form, no pair of locations.

    Numerics:
        Logits are converted to float32 at least before the softmax, under autocast too. The hidden units of all pairs
        of a location and a global are N Q P vectors. They are computed in chunks that fit into the workspace of the
        pairwise ops (:func:`infomax.ops.use_workspace`, 64 MiB by default on a CPU); if there are several chunks, the
        backward pass computes them again.

    Source:
        Hjelm et al. 2019, section 4.3. The paper does not specify the classifier; here it has one hidden layer on the
        concatenated features. The authors' code uses a residual block, and has only the absolute form.

    Example:
        >>> import torch
        >>> from infomax import CoordinateLoss
        >>> where = CoordinateLoss(local_dim=128, size=(8, 8), global_dim=64)
        >>> local, global_ = torch.randn(4, 128, 8, 8), torch.randn(4, 64)
        >>> where(local, global_).backward()
        >>> loss, accuracy = where.terms(local, global_)
    """

    def __init__(
        self,
        local_dim: int,
        size: Sequence[int],
        global_dim: int,
        *,
        relative: bool = False,
        units: int = 512,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_dtype(dtype)
        device = None if device is None else check_device(device)
        self.size = check_sizes("size", size, at_least=0)
        if math.prod(self.size) < 2:
            raise ValueError(f"size must hold at least 2 locations, or there is nothing to predict, got {self.size}")
        self.local_dim = check_positive("local_dim", local_dim)
        self.global_dim = check_positive("global_dim", global_dim)
        self.relative = check_flag("relative", relative)
        self.classes = [2 * axis - 1 if self.relative else axis for axis in self.size]
        # A layer on concatenated features is a sum of layers on each of them, so no features need to be repeated.
        local_dim, global_dim, self.units = self.local_dim, self.global_dim, check_positive("units", units)
        self.from_local = nn.Linear(local_dim, self.units, device=device, dtype=dtype)
        self.from_partner = (
            nn.Linear(local_dim, self.units, bias=False, device=device, dtype=dtype) if relative else None
        )
        self.from_global = nn.Linear(global_dim, self.units, bias=False, device=device, dtype=dtype)
        self.classifier = nn.Linear(self.units, sum(self.classes), device=device, dtype=dtype)

    def forward(
        self,
        local: Tensor,
        global_: Tensor,
        mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the cross-entropy in nats, summed over axes, a scalar."""
        return self.terms(local, global_, mask, generator=generator).loss

    def terms(
        self,
        local: Tensor,
        global_: Tensor,
        mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> CoordinateTerms:
        """Return the loss with the accuracy.

        Args:
            local: local features.
            global_: global features.
            mask: bool, True at a real location.
            generator: the generator that draws the partners of the relative form; torch's global one when None.
        """
        self._check(local, global_, mask)
        check_generator(generator)
        rows, globals_ = rows_of(local), rows_of(global_)
        n, p = rows.shape[:2]
        if mask is None:
            present = torch.ones(n, p, dtype=torch.bool, device=rows.device)
        else:
            present = mask.reshape(n, p)
            rows = torch.where(present[:, :, None], rows, 0.0)
        hidden, places = self.from_local(rows), _places(self.size, rows.device)
        target = places.expand(n, -1, -1)
        if self.from_partner is not None:
            partner = _partners(present, generator)
            present = present & (present.sum(1, keepdim=True) > 1)
            hidden = hidden + self.from_partner(rows).gather(1, partner[:, :, None].expand_as(hidden))
            steps = places[partner] - target
            target = steps + torch.tensor(self.size, device=steps.device) - 1
        if mask is not None:
            what = "a pair of locations" if self.relative else "a location"
            check_some_present(present, f"mask must leave {what}, got none")
            globals_ = torch.where(present.any(1)[:, None, None], globals_, 0.0)  # examples left out have no influence
        return self._scored(hidden, self.from_global(globals_), target, present)

    def _scored(self, hidden: Tensor, asked: Tensor, target: Tensor, present: Tensor) -> CoordinateTerms:
        """Compute cross-entropy and accuracy by chunks of pairs (global, location), within the workspace.

        Args:
            hidden: (N, P, units), the hidden layer's inputs from the locations.
            asked: (N, Q, units), the hidden layer's inputs from the globals.
            target: (N, P, axes), the classes.
            present: (N, P), bool, True where a location is predicted.
        """
        q, (n, p) = asked.shape[1], present.shape
        place = repeat(torch.arange(n * p, device=hidden.device), "(n p) -> (n q p)", n=n, q=q)
        hidden, target, present = (rearrange(values, "n p ... -> (n p) ...") for values in (hidden, target, present))
        which = repeat(torch.arange(n * q, device=hidden.device), "nq -> (nq p)", p=p)
        asked = rearrange(asked, "n q u -> (n q) u")
        weight = widened(hidden[:0]).new_tensor(1.0) / (q * present.sum())
        # Memory of a pair: hidden units and their gradient, before and after the ReLU; logits, probabilities and their
        # gradients.
        bytes_per_pair = (
            4 * hidden.shape[1] * hidden.element_size() + 4 * sum(self.classes) * weight.element_size() + 32
        )
        size = max(1, workspace(hidden.device) // bytes_per_pair)
        totals: list[tuple[Tensor, Tensor]] = []
        for start in range(0, len(place), size):
            chunk = (place[start : start + size], which[start : start + size])
            if size >= len(place):  # all at once, nothing to recompute
                totals.append(self._chunk(hidden, asked, target, present, *chunk))
            else:
                total: tuple[Tensor, Tensor] = checkpoint(
                    self._chunk, hidden, asked, target, present, *chunk, use_reentrant=False, preserve_rng_state=False
                )
                totals.append(total)
        loss, right = (torch.stack(parts).sum() for parts in zip(*totals, strict=True))
        return CoordinateTerms(weight * loss, weight * right / len(self.classes))

    def _chunk(
        self, hidden: Tensor, asked: Tensor, target: Tensor, present: Tensor, place: Tensor, which: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sum cross-entropies and correct predictions over the pairs of locations ``place`` and globals ``which``."""
        logits = widened(self.classifier(torch.relu(hidden[place] + asked[which])))
        counts = present[place].to(logits.dtype)
        loss, right = logits.new_zeros(()), logits.new_zeros(())
        for axis, chosen in enumerate(torch.split(logits, self.classes, -1)):
            wanted = target[place, axis]
            loss = loss + (counts * nnf.cross_entropy(chosen, wanted, reduction="none")).sum()
            right = right + (counts * (chosen.detach().argmax(-1) == wanted)).sum()
        return loss, right

    def _check(self, local: Tensor, global_: Tensor, mask: Tensor | None) -> None:
        check_floating("local", local)
        check_floating("global_", global_)
        if mask is not None:
            check_mask_dtype(mask)
        check_same_device(local=local, global_=global_, mask=mask)
        check_fits_module(self, local=local, global_=global_)
        if tuple(local.shape[1:]) != (self.local_dim, *self.size) or not len(local):
            expected = shape_of(("N", self.local_dim, *self.size))
            raise ValueError(f"local must have the shape {expected} of local_dim and size, got {shape_of(local)}")
        if global_.ndim < 2 or global_.shape[:2] != (len(local), self.global_dim) or 0 in global_.shape:
            raise ValueError(
                f"global_ must have shape ({len(local)}, {self.global_dim}) or ({len(local)}, {self.global_dim}, "
                f"*spatial), got {shape_of(global_)}"
            )
        if mask is not None:
            check_mask_shape("local", local, mask, (len(local), *self.size))

    def extra_repr(self) -> str:
        """Return the options, for `repr`."""
        relative = ", relative=True" if self.relative else ""
        return f"{self.local_dim}, {self.size}, {self.global_dim}{relative}, units={self.units}"


def _places(size: Sequence[int], device: torch.device) -> Tensor:
    """Return the coordinates of every location, (P, axes)."""
    axes = [torch.arange(axis, device=device) for axis in size]
    return torch.cartesian_prod(*axes).view(-1, len(size))


def _partners(present: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw a partner for each real location, (N, P): another real location of the same example, each used once.

    In a random cyclic order of the real locations, the partner of each is the next. A masked location, or the only real
    one of an example, is its own partner.
    """
    count = present.sum(1, keepdim=True)
    draw = torch.rand(present.shape, device=present.device, **drawing_from(generator))
    order = draw.masked_fill(~present, 2.0).argsort(1)  # masked locations come last
    turn = torch.arange(present.shape[1], device=present.device).expand_as(order)
    following = torch.where(turn + 1 < count, turn + 1, torch.where(turn + 1 == count, 0, turn))
    return torch.empty_like(order).scatter(1, order, order.gather(1, following))
