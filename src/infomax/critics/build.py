"""The one place where a critic's short name is looked up."""

from __future__ import annotations

from torch import nn

from infomax._checks import check_choice
from infomax.critics.base import Critic, PairwiseCritic
from infomax.critics.concat import ConcatCritic
from infomax.critics.dot import BilinearCritic, CosineCritic, DotCritic
from infomax.critics.gaussian import GaussianCritic
from infomax.critics.lipschitz import LipschitzCritic

__all__ = ["build_critic"]

_WITH_UNITS: dict[str, type[DotCritic | ConcatCritic | CosineCritic | GaussianCritic | LipschitzCritic]] = {
    "dot": DotCritic,
    "concat": ConcatCritic,
    "cosine": CosineCritic,
    "gaussian": GaussianCritic,
    "lipschitz": LipschitzCritic,
}


def build_critic(critic: str | nn.Module, local_dim: int, global_dim: int, units: int | None = None) -> Critic:
    """Return a critic from its short name, or the module given.

    Args:
        critic: ``"dot"``, ``"concat"``, ``"bilinear"``, ``"cosine"``, ``"gaussian"``, ``"lipschitz"``, a
            :class:`Critic`, or any module that scores aligned rows (B, c) and (B, d), see :class:`PairwiseCritic`.
        local_dim: channels of the local features.
        global_dim: channels of the global features.
        units: width of a critic named; its own default when None.

    Raises:
        TypeError: it is neither a name nor a module.
        ValueError: the name is unknown, a :class:`Critic` has other dimensions, or ``units`` is given where it has no
            meaning.
    """
    if isinstance(critic, nn.Module):
        if units is not None:
            raise ValueError(f"units belongs to a critic's short name, got {units} beside {type(critic).__name__}")
        if not isinstance(critic, Critic):
            return PairwiseCritic(critic, local_dim, global_dim)
        if (critic.local_dim, critic.global_dim) != (local_dim, global_dim):
            raise ValueError(
                f"critic must have local_dim={local_dim} and global_dim={global_dim}, got {critic.local_dim} and "
                f"{critic.global_dim}"
            )
        return critic
    if not isinstance(critic, str):
        raise TypeError(f"critic must be a short name or a module, got {type(critic).__name__}")
    check_choice("critic", critic, (*_WITH_UNITS, "bilinear"))
    if critic == "bilinear":
        if units is not None:
            raise ValueError(f"units has no meaning for the bilinear critic, got {units}")
        return BilinearCritic(local_dim, global_dim)
    kind = _WITH_UNITS[critic]
    return kind(local_dim, global_dim) if units is None else kind(local_dim, global_dim, units=units)
