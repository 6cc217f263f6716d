"""Running a module without changing its mode, its buffers or the random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["buffers_restored", "evaluating", "without_side_effects"]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode; on exit each submodule returns to the mode it was in.

    Calling ``module.train()`` afterwards is not enough: it would also put layers that the user keeps in evaluation mode
    into training mode.

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
def without_side_effects(module: nn.Module) -> Iterator[None]:
    """Run in evaluation mode without gradients; restore torch's random state and the module's buffers on exit.

    Both are restored because some modules draw random numbers or write to their buffers in evaluation mode too.

    Example:
        >>> draws = nn.Sequential()
        >>> _ = draws.register_forward_hook(lambda *_: torch.rand(3))
        >>> before = torch.get_rng_state()
        >>> with without_side_effects(draws):
        ...     _ = draws(torch.zeros(1))
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    tensors = [*module.parameters(), *module.buffers()]
    devices = {tensor.device for tensor in tensors if tensor.is_cuda}
    with evaluating(module), buffers_restored(module), torch.no_grad(), torch.random.fork_rng(devices=list(devices)):
        yield


@contextmanager
def buffers_restored(module: nn.Module) -> Iterator[None]:
    """Restore the buffers of a module on exit.

    Example:
        >>> average = nn.BatchNorm1d(2)
        >>> with buffers_restored(average):
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
                buffer.data.copy_(values)  # .data: a graph that has saved the buffer can still run its backward pass
