"""What must be the same on every process whose losses share rows, as text that processes can compare."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from infomax._precision import autocasting

__all__ = ["settings_of"]

_PLAIN = (bool, int, float, str, tuple, type(None))
_NO_OPTIONS = {"training", "bias", "variance", "bound", "optimum"}  # of an estimator, what follows from its options


def settings_of(loss: nn.Module, call: str, device: torch.device) -> dict[str, str]:
    """Describe a call of a loss by the settings on which processes must agree.

    Processes with unlike settings would exchange tensors of unlike sizes, or compute unlike losses without an error.

    Args:
        loss: a loss with a critic and an estimator.
        call: which of its methods is called, and how.
        device: the device of the loss.

    Returns:
        For each setting, named as in a message, its value.
    """
    parts = {name: loss.get_submodule(name) for name in ("critic", "estimator")}
    rest = [part for name, part in loss.named_children() if name not in parts]
    kind = device.type
    return {
        "loss": f"{type(loss).__name__}, {call}",
        "options": " ".join([_options(loss), *map(_described, rest)]),
        "training mode": _modes(loss),
        **{name: _described(part) for name, part in parts.items()},
        "autocast": str(torch.get_autocast_dtype(kind)) if autocasting(kind) else "off",
    }


def _modes(module: nn.Module) -> str:
    training = {name.replace("_orig_mod.", ""): part.training for name, part in module.named_modules()}
    if len(set(training.values())) == 1:
        return "train" if module.training else "eval"
    return "eval in " + ", ".join(name or "the loss" for name, trains in training.items() if not trains)


def _described(module: nn.Module) -> str:
    """Describe a module by its classes, our own options, and the shapes of parameters and buffers."""
    parts = [part for part in module.modules() if type(part).__name__ != "OptimizedModule"]  # of torch.compile
    kinds = [f"{type(part).__qualname__}({_options(part)})" for part in parts]
    return " ".join([*kinds, *map(_shape, (*module.parameters(), *module.buffers()))])


def _options(module: nn.Module) -> str:
    """Return the options of one of our own modules; those of a user's may differ, such as a counter or an address."""
    if not type(module).__module__.startswith("infomax."):
        return ""
    options = {name: value for name, value in vars(module).items() if name[0] != "_" and name not in _NO_OPTIONS}
    return ", ".join(f"{name}={value!r}" for name, value in options.items() if isinstance(value, _PLAIN))


def _shape(value: Tensor) -> str:
    return "not yet known" if is_lazy(value) else f"{tuple(value.shape)} {value.dtype}".replace("torch.", "")
