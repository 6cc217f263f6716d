"""What must be the same on every process whose losses share rows, as text that processes can compare."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infomax._precision import autocasting

__all__ = ["settings_of"]


def settings_of(loss: nn.Module, call: str, local: Tensor, global_: Tensor) -> dict[str, str]:
    """Describe a call of a loss by the settings on which processes must agree.

    Processes with unlike settings would exchange tensors of unlike sizes, or compute unlike losses without an error.

    Args:
        loss: a loss with a critic and an estimator.
        call: which of its methods is called, and how.
        local: local features or rows.
        global_: global features.

    Returns:
        For each setting, named as in a message, its value.
    """
    device = global_.device.type
    autocast = f"autocast to {torch.get_autocast_dtype(device)}" if autocasting(device) else "no autocast"
    return {
        "loss": f"{type(loss).__name__}, {call}",
        "training mode": _modes(loss),
        "critic": _described(loss.get_submodule("critic")),
        "estimator": _described(loss.get_submodule("estimator")),
        "precision": f"local {local.dtype}, global {global_.dtype}, {autocast}",
    }


def _modes(module: nn.Module) -> str:
    training = [part.training for part in module.modules()]
    if len(set(training)) == 1:
        return "train" if training[0] else "eval"
    return "eval in " + ", ".join(name or "the loss" for name, part in module.named_modules() if not part.training)


def _described(module: nn.Module) -> str:
    """Describe a module by its options and by the shapes of its parameters and buffers.

    Only the options of our own classes are part of it. Those of a user's class may hold what differs between processes,
    such as an address in memory.
    """
    kinds = [
        f"{type(part).__name__}({part.extra_repr()})"
        for part in module.modules()
        if type(part).__module__.startswith("infomax.")
    ]
    shapes = [f"{tuple(value.shape)} {value.dtype}" for value in (*module.parameters(), *module.buffers())]
    return " ".join([*kinds, *shapes]).replace("torch.", "")
