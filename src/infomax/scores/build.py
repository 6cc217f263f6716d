"""Scores without a critic: from features in a common space, from a table, or from joint and marginal scores."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import check_differentiable, check_floating, check_number, check_same_device, shape_of
from infomax.pairs.checks import check_mask_dtype, check_mask_shape
from infomax.pairs.pairing import Pairing
from infomax.pairs.rows import pair_map, pair_rows, present_examples
from infomax.scores.dense import TableScores
from infomax.scores.paired import PairedScores
from infomax.scores.streamed import StreamedScores

__all__ = ["dense_scores", "dot_scores", "paired_scores"]


def dot_scores(local: Tensor, global_: Tensor, mask: Tensor | None = None, scale: float = 1.0) -> StreamedScores:
    r"""Score every global with every local by their inner product, without storing the table of scores.

    .. math:: T(x_{jp}, y_{iq}) = s \, \langle y_{iq}, x_{jp} \rangle

    Args:
        local: local features, (N, u, \*spatial) or (N, u).
        global_: global features, (N, u) or (N, u, \*spatial).
        mask: bool, (N, \*spatial): True at a real location. Other locations have no influence at all.
        scale: factor s of every score.

    Returns:
        Streamed :class:`~infomax.scores.PairScores`, float32 (float64 for float64 features).

    Raises:
        TypeError: a dtype is not real floating, or the mask is not bool.
        ValueError: ranks, batch sizes, channels or devices do not match, or there are fewer than two examples.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> local, global_ = torch.randn(8, 16, 4, 4), torch.randn(8, 16)
        >>> loss = F.infonce_loss(F.dot_scores(local, global_, scale=0.25))
        >>> loss.shape
        torch.Size([])
    """
    whole = mask is None and isinstance(local, Tensor) and local.ndim > 2 and local.is_contiguous()
    rows = pair_map(local, global_) if whole else pair_rows(local, global_, mask)
    if local.shape[1] != global_.shape[1]:
        raise ValueError(
            "local and global_ must have the same channels to be multiplied, got "
            f"{local.shape[1]} from {shape_of(local)} and {global_.shape[1]} from {shape_of(global_)}; "
            "a DotCritic projects them to a common space"
        )
    dtype = torch.promote_types(local.dtype, global_.dtype)
    return StreamedScores(rows.global_.to(dtype), rows.local.to(dtype), rows.pairing, check_number("scale", scale))


def dense_scores(table: Tensor, mask: Tensor | None = None) -> TableScores:
    """Take scores from an explicit table.

    Args:
        table: ``table[i, q, j, p]`` is the score of global q of example i with local p of example j, shape
            (N, Q, N, P); or ``table[i, j]``, shape (N, N), for one global and one local per example.
        mask: bool, (N, P), True at a real location.

    Returns:
        :class:`~infomax.scores.PairScores` of the table, float32 (float64 for a float64 table).

    Raises:
        TypeError: the table is not real floating, or the mask is not bool.
        ValueError: the shape is neither of the two, or there are fewer than two examples.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.dv_estimate(F.dense_scores(torch.zeros(5, 5)))
        tensor(0.)
    """
    check_floating("table", table)
    if mask is not None:
        check_mask_dtype(mask)
        check_differentiable({"table": table, "mask": mask})
    check_same_device(table=table, mask=mask)
    full = table[:, None, :, None] if table.ndim == 2 else table
    if full.ndim != 4 or full.shape[0] != full.shape[2] or 0 in full.shape:
        raise ValueError(f"table must have shape (N, N) or (N, Q, N, P), got {shape_of(table)}")
    n, q, _, p = full.shape
    if n < 2:
        raise ValueError(
            f"table must hold at least 2 examples, got {n}: an InfoMax objective needs other examples as negatives"
        )
    rows = table.reshape(n * q, n * p)
    if mask is None:
        return TableScores(rows, Pairing(n, q, torch.arange(n, device=table.device).repeat_interleave(p), locations=p))
    check_mask_shape("table", table, mask, (n, p))
    kept = present_examples(mask)
    if kept is not None:
        rows, mask = full[kept][:, :, kept].reshape(len(kept) * q, -1), mask[kept]
    present = mask.reshape(-1)
    return TableScores(rows[:, present], Pairing(len(mask), q, mask.nonzero()[:, 0]))


def paired_scores(joint: Tensor, marginal: Tensor) -> PairedScores:
    r"""Take scores that are given: one for each joint pair, and K marginal scores for the global of that pair.

    .. math:: T(x_i, y_i), \qquad T(x_{ik}, y_i), \quad k = 1, \dots, K

    Use it for scores of held-out rows, of pairs that were drawn elsewhere, or of a critic from outside this library.

    Args:
        joint: joint scores, (n,).
        marginal: marginal scores, (n, K); ``marginal[i]`` belongs to the global of ``joint[i]``.

    Returns:
        :class:`~infomax.scores.PairScores`, float32 (float64 for float64 scores).

    Raises:
        TypeError: a dtype is not real floating.
        ValueError: the shapes are not (n,) and (n, K) with n and K at least 1, or the devices differ.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.nwj_estimate(F.paired_scores(torch.full((8,), 3.0), torch.zeros(8, 5)))
        tensor(2.6321)
    """
    check_floating("joint", joint)
    check_floating("marginal", marginal)
    check_same_device(joint=joint, marginal=marginal)
    check_differentiable({"joint": joint, "marginal": marginal})
    if joint.ndim != 1 or marginal.ndim != 2 or len(joint) != len(marginal) or 0 in marginal.shape:
        raise ValueError(
            f"joint and marginal must have shapes (n,) and (n, K), got {shape_of(joint)} and {shape_of(marginal)}"
        )
    dtype = torch.promote_types(joint.dtype, marginal.dtype)
    return PairedScores(joint.to(dtype), marginal.to(dtype))
