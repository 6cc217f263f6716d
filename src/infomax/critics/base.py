"""The base class of all critics, and a critic that wraps any module."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from infomax._checks import check_positive, shape_of
from infomax._precision import check_fits_module
from infomax.pairs.pairing import Pairing
from infomax.pairs.rows import pair_rows
from infomax.scores import DenseScores, PairScores

__all__ = ["Critic", "PairwiseCritic"]


class Critic(nn.Module, ABC):
    r"""The base class of critics, which score pairs of local and global features.

    Calling a critic with features returns :class:`~infomax.scores.PairScores`. To add a critic, subclass this class and
    implement :meth:`score_rows`. :class:`~infomax.PairwiseCritic` wraps any module that scores aligned rows.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.

    Example:
        >>> import torch
        >>> from infomax import Critic, LocalDIMLoss
        >>> from infomax.scores import StreamedScores
        >>> class Plain(Critic):
        ...     def score_rows(self, local, global_, pairing):
        ...         return StreamedScores(global_, local, pairing)
        >>> LocalDIMLoss(local_dim=8, global_dim=8, critic=Plain)(torch.randn(4, 8, 2, 2), torch.randn(4, 8)).shape
        torch.Size([])
    """

    is_density: bool = False
    """Whether the scores are log densities of a global given a local, as upper bounds need."""
    checks_dtype: bool = True
    """Whether features must have the dtype and device of the parameters. False if the module converts them itself."""

    def __init__(self, local_dim: int, global_dim: int) -> None:
        super().__init__()
        self.local_dim = check_positive("local_dim", local_dim)
        self.global_dim = check_positive("global_dim", global_dim)

    def forward(self, local: Tensor, global_: Tensor, mask: Tensor | None = None) -> PairScores:
        r"""Score local (N, c, \*spatial) with global (N, d) or (N, d, \*spatial) features.

        Args:
            local: local features.
            global_: global features.
            mask: bool, (N, \*spatial), True at a real location.

        Raises:
            TypeError: a dtype does not match.
            ValueError: a shape, a batch size or a device does not match.
        """
        rows = pair_rows(local, global_, mask)
        self.check(local, global_)
        return self.score_rows(rows.local, rows.global_, rows.pairing)

    def check(self, local: Tensor, global_: Tensor, names: tuple[str, str] = ("local", "global_")) -> None:
        """Raise unless the features, or rows of them, have the channels, the dtype and the device of this critic.

        Args:
            local: local features.
            global_: global features.
            names: names of the two arguments in error messages.
        """
        for name, features, side in ((names[0], local, "local_dim"), (names[1], global_, "global_dim")):
            dim = getattr(self, side)
            if features.shape[1] != dim:
                hint = "; channels come second, permute it" if dim in features.shape[2:] else ""
                raise ValueError(
                    f"{name} must have {dim} channels, the {side} of this critic, got {features.shape[1]} from "
                    f"{shape_of(features)}{hint}"
                )
        if self.checks_dtype:
            check_fits_module(self, **dict(zip(names, (local, global_), strict=True)))

    @abstractmethod
    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> PairScores:
        """Score local rows (K, c) with global rows (M, d).

        Args:
            local: local rows.
            global_: global rows.
            pairing: which rows form joint and marginal pairs. Pass it on to :class:`~infomax.scores.StreamedScores`
                together with the projected rows, or to :class:`~infomax.scores.DenseScores`.
        """

    def extra_repr(self) -> str:
        return f"local_dim={self.local_dim}, global_dim={self.global_dim}"


class PairwiseCritic(Critic):
    r"""A critic that wraps any module that scores aligned rows.

    The module scores every pair by itself: ``module(local, global_)`` takes rows (B, c) and (B, d) and returns (B,) or
    (B, 1). Pairs are evaluated in tiles, and evaluated again in the backward pass, so memory is bounded. The module
    must not contain batch norm.

    Args:
        module: scores aligned rows.
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        floats_per_pair: how many numbers the module stores for one pair in a forward pass, which sets the tile size.
            When None, four times the sum of both channel counts.

    Raises:
        TypeError: ``module`` is not a `torch.nn.Module`, or cannot be called with two arguments.
        ValueError: the module contains batch norm.

    Example:
        >>> import torch
        >>> from infomax import LocalDIMLoss
        >>> class Distance(torch.nn.Module):
        ...     def forward(self, local, global_):
        ...         return -(local - global_).square().sum(1)
        >>> loss_fn = LocalDIMLoss(local_dim=8, global_dim=8, critic=Distance())
        >>> loss_fn(torch.randn(4, 8, 2, 2), torch.randn(4, 8)).shape
        torch.Size([])
    """

    checks_dtype = False

    def __init__(
        self, module: nn.Module, local_dim: int, global_dim: int, *, floats_per_pair: int | None = None
    ) -> None:
        super().__init__(local_dim, global_dim)
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"module must be a torch.nn.Module, got {type(module).__name__}; "
                "wrap a function in a Module that calls it"
            )
        for name, part in module.named_modules():
            if isinstance(part, _BatchNorm):
                raise ValueError(  # noqa: TRY004 (the type of the critic is right)
                    f"critic must score each pair by itself, got {type(part).__name__} at {name!r}, which "
                    "would compute its statistics over tiles of pairs; use a layer norm"
                )
        _check_signature(module)
        self.module = module
        # Room for the inputs of both sides and a few hidden layers of about their size.
        if floats_per_pair is None:
            floats_per_pair = 4 * (self.local_dim + self.global_dim)
        self.floats_per_pair = check_positive("floats_per_pair", floats_per_pair)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> PairScores:
        return DenseScores(
            self._score_pairs,
            global_,
            local,
            pairing,
            floats_per_pair=self.floats_per_pair,
            parameters=self.module.parameters(),
        )

    def _score_pairs(self, query: Tensor, key: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(query.shape[:-1], key.shape[:-1])  # type: ignore[no-untyped-call]
        flat_key = key.expand(*shape, -1).reshape(-1, key.shape[-1])
        flat_query = query.expand(*shape, -1).reshape(-1, query.shape[-1])
        scores: Tensor = self.module(flat_key, flat_query)
        if scores.numel() != flat_key.shape[0]:
            raise ValueError(
                f"critic must return one score per pair, ({flat_key.shape[0]},) or ({flat_key.shape[0]}, 1), for rows "
                f"{shape_of(flat_key)} and {shape_of(flat_query)}, got {shape_of(scores)} from "
                f"{type(self.module).__name__}"
            )
        return scores.reshape(shape)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, floats_per_pair={self.floats_per_pair}"


def _check_signature(module: nn.Module) -> None:
    """Raise ``TypeError`` if the module cannot be called with two arguments, the rows of both sides."""
    try:
        inspect.signature(module.forward).bind(None, None)
    except TypeError as error:
        raise TypeError(
            f"critic must take local rows and global rows, module(local, global_), which {type(module).__name__} does "
            f"not: {error}"
        ) from error
