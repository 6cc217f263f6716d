"""Building a critic and an estimator from the user's options, and checking that they fit together."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from infomax._checks import check_choice
from infomax.critics import Critic, CriticLike, build_critic
from infomax.critics.build import check_critic
from infomax.critics.normalisation import BatchNorm, check_gathers
from infomax.estimators import Estimator, EstimatorLike, build_estimator
from infomax.estimators.build import check_estimator
from infomax.pairs.processes import Processes
from infomax.prior.matching import PRIORS

__all__ = ["build_parts", "check_may_learn", "check_not_shared", "check_parts", "check_per_global", "check_prior"]


def build_parts(
    critic: CriticLike,
    estimator: EstimatorLike,
    local_dim: int,
    global_dim: int,
    units: int | None,
    *,
    processes: Processes | None,
) -> tuple[Critic, Estimator]:
    """Build the critic and the estimator, or raise if they cannot work together.

    Args:
        critic: a short name, a module or a factory.
        estimator: a short name, a module or a factory.
        local_dim: channels of the local features.
        global_dim: channels of the global features.
        units: width of a critic given by name.
        processes: the processes whose rows batch norms use for their statistics; only this process when None.

    Raises:
        TypeError: an argument is not a short name, a module or a factory, or the estimator needs two critics.
        ValueError: a name is unknown, or critic and estimator do not fit together.
    """
    _check_runs_away(estimator)
    built, made = build_critic(critic, local_dim, global_dim, units), build_estimator(estimator)
    kind = type(made).__name__
    if getattr(made, "needs_two_critics", False):
        raise TypeError(
            f"estimator must read the scores of one critic, got {kind}, which needs two; call it yourself: "
            f"{kind}()(critic(local, global_), second_critic(local, global_))"
        )
    if getattr(made, "needs_density", False) and not built.is_density:
        raise ValueError(
            f"critic must make log densities for {kind}, as critic='gaussian' does, got {type(built).__name__}"
        )
    norms = [norm for norm in built.modules() if isinstance(norm, _BatchNorm)]
    if getattr(made, "needs_lipschitz", False) and norms:
        raise ValueError(
            f"critic must score each pair by itself and be Lipschitz for {kind}, got {type(built).__name__} with batch "
            "norm; use critic='lipschitz', or 'bilinear' with infomax.variants.gradient_penalty"
        )
    if processes is not None:
        check_gathers(norms)
        for norm in norms:
            if isinstance(norm, BatchNorm):
                norm.processes = processes
    return built, made


def check_parts(critic: CriticLike, estimator: EstimatorLike, units: int | None) -> None:
    """Raise if :func:`build_parts` would reject an option by itself; nothing is built or called.

    Args:
        critic: a short name, a module or a factory.
        estimator: a short name, a module or a factory.
        units: width of a critic given by name.
    """
    _check_runs_away(estimator)
    check_critic(critic, units)
    check_estimator(estimator)


def _check_runs_away(estimator: EstimatorLike) -> None:
    if isinstance(estimator, str) and estimator == "rkl":
        raise ValueError(
            "estimator 'rkl' diverges when it is trained: its loss E[e^-T] + E'[T - 1] falls without limit as marginal "
            "scores T fall, in any batch; pass ScoreRegularised('rkl', weight=0.1, clip=10.0), which bounds scores, or "
            "the module FDivergence('rkl'), which trains as it stands"
        )


def check_may_learn(estimator: nn.Module, name: str, features: Tensor) -> None:
    """Raise ``ValueError`` if the loss fits the density of the globals and the globals require a gradient.

    Args:
        estimator: the estimator of the loss.
        name: the name of the globals' argument.
        features: the global features.
    """
    learns = torch.is_grad_enabled() and features.requires_grad
    if learns and getattr(estimator, "fits_density", False):
        kind = type(estimator).__name__
        raise ValueError(
            f"{name} must have no gradient where the estimator is {kind}: its loss fits the density of {name}, and "
            f"an encoder that learns from that makes {name} constant. Pass {name}.detach() to fit the density, and "
            f"lower the information by loss_fn.estimator.estimate(loss_fn.scores(...)); raise it with another "
            "estimator, such as 'infonce'"
        )


def check_per_global(estimator: nn.Module) -> None:
    """Raise unless the loss of an estimator is a mean over globals, whose terms ``reduction="none"`` can return."""
    kind = type(estimator).__name__
    if not hasattr(estimator, "per_global"):
        raise TypeError(
            f"estimator must offer per_global(scores) with reduction='none', which {kind} does not; subclass "
            "infomax.Estimator"
        )
    if getattr(type(estimator), "per_global", None) is Estimator.per_global:
        raise ValueError(
            f"reduction must be 'mean' where the estimator is {kind}, whose loss is no mean over globals; 'none' goes "
            "with infonce, jsd or nwj"
        )


def check_not_shared(name: str, module: object) -> None:
    """Raise ``TypeError`` if a module given to two terms holds state, which both terms would write."""
    if isinstance(module, nn.Module) and module.state_dict(keep_vars=True):
        kind = type(module).__name__
        raise TypeError(
            f"{name} must not be a module with state where two terms use it, got {kind}; give its short name, or a "
            f"factory such as partial({kind}, ...), and each term gets its own"
        )


def check_prior(prior: str | nn.Module) -> None:
    """Raise unless ``prior`` is a short name, or a module whose ``forward`` accepts a ``generator``."""
    if not isinstance(prior, nn.Module):
        check_choice("prior", prior, PRIORS)
        return
    taken = inspect.signature(prior.forward).parameters.values()
    if not any(parameter.name == "generator" or parameter.kind is parameter.VAR_KEYWORD for parameter in taken):
        raise TypeError(
            f"prior must be called with the global features and generator=, got {type(prior).__name__}, whose forward "
            "takes no generator; give it generator=None, as PriorMatchingLoss has"
        )
