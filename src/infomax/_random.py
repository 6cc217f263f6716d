"""The convention for randomness.

``generator=`` is for draws inside a loss or an op: a `torch.Generator`, or None for torch's global one, as in torch.
``random_state=`` is for whole procedures, such as a probe or an estimate: the same integer gives the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import TypeAlias, TypedDict

import numpy as np
import torch
from torch import Tensor

__all__ = ["RandomState", "as_generator", "drawing_from", "random_state", "replayed"]

_NO_GENERATOR = ("cpu", "meta")  # the CPU's state is kept apart, and meta tensors draw nothing

RandomState: TypeAlias = "int | np.integer | np.random.Generator | torch.Generator | None"
"""The types that ``random_state=`` accepts."""


def as_generator(random_state: RandomState, name: str = "random_state") -> torch.Generator:
    """Return a CPU generator for all draws of a whole procedure.

    Args:
        random_state: a `torch.Generator` on the CPU is returned itself; otherwise a new generator is seeded, by an
            integer (a NumPy integer included), by a draw from a `numpy.random.Generator`, or, when None, by a draw from
            torch's global generator.
        name: the argument, for the message.

    Raises:
        TypeError: ``random_state`` has none of these types.
        ValueError: the generator is on another device, or the integer is negative or above 2^64 - 1.

    Example:
        >>> torch.equal(torch.rand(2, generator=as_generator(3)), torch.rand(2, generator=as_generator(3)))
        True
    """
    if isinstance(random_state, torch.Generator):
        if random_state.device.type != "cpu":
            raise ValueError(
                f"{name} must be a generator on the CPU, got one on {random_state.device}; pass an integer"
            )
        return random_state
    if random_state is None:
        seed = int(torch.randint(2**62, (), device="cpu"))
    elif isinstance(random_state, np.random.Generator):
        seed = int(random_state.integers(2**62))
    elif isinstance(random_state, Integral) and not isinstance(random_state, bool):
        seed = int(random_state)
        if not 0 <= seed < 2**64:
            raise ValueError(f"{name} must be between 0 and 2**64 - 1, got {seed}")
    else:
        raise TypeError(
            f"{name} must be an integer, a torch.Generator, a numpy.random.Generator or None, got "
            f"{type(random_state).__name__}"
        )
    return torch.Generator().manual_seed(seed)


class _Drawing(TypedDict, total=False):
    generator: torch.Generator


def drawing_from(generator: torch.Generator | None) -> _Drawing:
    """Return the keyword argument of a draw, or none: ``torch.rand(n, **drawing_from(generator))``.

    `torch.compile` cannot compile a draw of dynamic size with ``generator=None``; it can without the keyword.
    """
    return {} if generator is None else {"generator": generator}


def random_state(tensors: Iterable[object]) -> tuple[Tensor, dict[torch.device, Tensor]]:
    """Return the states of the global generators for the CPU and for the devices of the tensors.

    :func:`replayed` takes these states.
    """
    devices = {value.device for value in tensors if isinstance(value, Tensor)}
    return torch.get_rng_state(), {device: _state_on(device) for device in devices if device.type not in _NO_GENERATOR}


@contextmanager
def replayed(state: tuple[Tensor, dict[torch.device, Tensor]]) -> Iterator[None]:
    """Set the global generators to a state from :func:`random_state`, and restore them on exit.

    A second pass inside the context draws the same numbers as the first pass.
    """
    before = torch.get_rng_state(), {device: _state_on(device) for device in state[1]}
    _restore(state)
    try:
        yield
    finally:
        _restore(before)


def _restore(state: tuple[Tensor, dict[torch.device, Tensor]]) -> None:
    on_cpu, on_devices = state
    torch.set_rng_state(on_cpu)
    for device, values in on_devices.items():
        torch.get_device_module(device).set_rng_state(values, *_which(device))


def _state_on(device: torch.device) -> Tensor:
    state: Tensor = torch.get_device_module(device).get_rng_state(*_which(device))
    return state


def _which(device: torch.device) -> tuple[torch.device, ...]:
    """Return the arguments that name the device: none for MPS, which has one device."""
    return () if device.type == "mps" else (device,)
