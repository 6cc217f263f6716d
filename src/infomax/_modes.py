"""Running a module without leaving a trace in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from infomax._checks import shape_of

__all__ = ["evaluating", "feature_pair", "undisturbed", "unwritten"]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode; on the way out each submodule returns to the mode it was in.

    ``module.train()`` afterwards would not do: it also switches on layers that were frozen on purpose.

    Example:
        >>> network = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3).eval())
        >>> with evaluating(network):
        ...     network.training
        False
        >>> network.training, network[1].training
        (True, False)
    """
    modes = {submodule: submodule.training for submodule in module.modules()}
    try:
        module.eval()
        yield
    finally:
        for submodule, mode in modes.items():
            submodule.training = mode


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; random state of torch and buffers of the module are put back on the way out.

    Some modules draw numbers or write to their buffers in evaluation mode as well.

    Example:
        >>> draws = nn.Sequential()
        >>> _ = draws.register_forward_hook(lambda *_: torch.rand(3))
        >>> before = torch.get_rng_state()
        >>> with undisturbed(draws):
        ...     _ = draws(torch.zeros(1))
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    tensors = [*module.parameters(), *module.buffers()]
    devices = {tensor.device for tensor in tensors if tensor.is_cuda}
    with evaluating(module), unwritten(module), torch.no_grad(), torch.random.fork_rng(devices=list(devices)):
        yield


@contextmanager
def unwritten(module: nn.Module) -> Iterator[None]:
    """Put back the buffers of a module on the way out, whatever it wrote to them.

    Example:
        >>> average = nn.BatchNorm1d(2)
        >>> with unwritten(average):
        ...     _ = average(torch.randn(4, 2))
        >>> average.num_batches_tracked, average.running_mean
        (tensor(0), tensor([0., 0.]))
    """
    buffers = [
        (owner, name, buffer, buffer.clone())
        for owner in module.modules()
        for name, buffer in owner.named_buffers(recurse=False)
        if not (buffer.is_inference() or nn.parameter.is_lazy(buffer))
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for owner, name, buffer, values in buffers:
                setattr(owner, name, buffer)
                buffer.data.copy_(values)  # .data: a graph that has saved the buffer still goes backward


def feature_pair(features: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Run a module once, undisturbed, and return its local and global features.

    Raises:
        TypeError: it is no module, or does not return two tensors.
        ValueError: features without channels.
    """
    if not isinstance(features, nn.Module):
        raise TypeError(
            f"features must be a module that returns local and global features, got {type(features).__name__}; "
            "infomax.tap makes one of any encoder"
        )
    with undisturbed(features):
        output = features(*args, **kwargs)
    pair = isinstance(output, (tuple, list)) and len(output) == 2
    if not pair or not all(isinstance(item, Tensor) for item in output):
        raise TypeError(f"features must return local and global features, got {type(output).__name__}; use tap")
    local, global_ = output
    for name, value in (("local", local), ("global", global_)):
        if value.ndim < 2:
            raise ValueError(f"features must return {name} features with channels second, got shape {shape_of(value)}")
    return local, global_
