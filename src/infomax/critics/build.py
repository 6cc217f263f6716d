"""The one place that looks up a critic by its short name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import nn

from infomax._checks import check_choice, check_positive
from infomax.critics.base import Critic, PairwiseCritic
from infomax.critics.concat import ConcatCritic
from infomax.critics.dot import BilinearCritic, CosineCritic, DotCritic
from infomax.critics.gaussian import GaussianCritic
from infomax.critics.lipschitz import LipschitzCritic

__all__ = ["CriticLike", "build_critic", "check_critic"]

CriticLike: TypeAlias = "str | nn.Module | Callable[[int, int], nn.Module]"
"""The values of ``critic=``: a short name, a module, or a factory that is called with local_dim and global_dim."""

_WITH_UNITS: dict[str, type[DotCritic | ConcatCritic | CosineCritic | GaussianCritic | LipschitzCritic]] = {
    "dot": DotCritic,
    "concat": ConcatCritic,
    "cosine": CosineCritic,
    "gaussian": GaussianCritic,
    "lipschitz": LipschitzCritic,
}


def build_critic(critic: CriticLike, local_dim: int, global_dim: int, units: int | None = None) -> Critic:
    """Return the critic that a short name, a module or a factory stands for.

    Args:
        critic: ``"dot"``, ``"concat"``, ``"bilinear"``, ``"cosine"``, ``"gaussian"``, ``"lipschitz"``; a
            :class:`Critic`; any module that scores aligned rows (B, c) and (B, d), see :class:`PairwiseCritic`; or a
            callable that takes ``local_dim`` and ``global_dim`` and returns a critic or such a module, for example
            ``partial(DotCritic, units=256)``.
        local_dim: channels of the local features.
        global_dim: channels of the global features.
        units: width of a critic given by its short name; the default of that critic when None.

    Raises:
        TypeError: ``critic`` is none of these.
        ValueError: the name is unknown, a :class:`Critic` has other dimensions, or ``units`` is given for a critic
            that does not take it.

    Example:
        >>> from functools import partial
        >>> from infomax.critics import CosineCritic, build_critic
        >>> build_critic("bilinear", 8, 4).scale
        1.0
        >>> build_critic(partial(CosineCritic, units=16), 8, 4).local_dim
        8
    """
    if isinstance(critic, str):
        check_critic(critic, units)
        return _named(critic, local_dim, global_dim, units)
    made = critic if isinstance(critic, nn.Module) or not callable(critic) else _made(critic, local_dim, global_dim)
    if not isinstance(made, nn.Module):
        kind = type(critic).__name__ + (f", which returned {type(made).__name__}" if callable(critic) else "")
        raise _no_critic(kind)
    check_critic(made, units)
    if not isinstance(made, Critic):
        return PairwiseCritic(made, local_dim, global_dim)
    if (made.local_dim, made.global_dim) != (local_dim, global_dim):
        raise ValueError(
            f"critic must have local_dim={local_dim} and global_dim={global_dim}, got {made.local_dim} and "
            f"{made.global_dim}"
        )
    return made


def check_critic(critic: CriticLike, units: int | None = None) -> None:
    """Raise the errors of :func:`build_critic` that do not depend on the dimensions, without building anything.

    Args:
        critic: a short name, a module, or a factory.
        units: width of a critic given by its short name.

    Raises:
        TypeError: ``critic`` is none of these.
        ValueError: the name is unknown, or ``units`` is given for a critic that does not take it.
    """
    if not isinstance(critic, str):
        if not isinstance(critic, nn.Module) and not callable(critic):
            raise _no_critic(type(critic).__name__)
        if units is not None:
            raise ValueError(f"units belongs to a critic's short name, got {units} with {type(critic).__name__}")
        return
    check_choice("critic", critic, (*_WITH_UNITS, "bilinear"))
    if units is not None:
        if critic == "bilinear":
            raise ValueError(f"units has no meaning for the bilinear critic, got {units}")
        check_positive("units", units)


def _no_critic(kind: str) -> TypeError:
    return TypeError(f"critic must be a short name, a module, or a callable that returns one, got {kind}")


def _made(factory: Callable[[int, int], nn.Module], local_dim: int, global_dim: int) -> nn.Module:
    try:
        return factory(local_dim, global_dim)
    except (TypeError, AttributeError) as error:
        raise TypeError(
            f"critic was called as a factory, with local_dim={local_dim} and global_dim={global_dim}, and raised "
            f"{type(error).__name__}: {error}; to use a function that scores pairs, wrap it in an nn.Module"
        ) from error


def _named(critic: str, local_dim: int, global_dim: int, units: int | None) -> Critic:
    if critic == "bilinear":
        return BilinearCritic(local_dim, global_dim)
    kind = _WITH_UNITS[critic]
    return kind(local_dim, global_dim) if units is None else kind(local_dim, global_dim, units=units)
