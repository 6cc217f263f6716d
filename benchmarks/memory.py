"""The peak memory of a call, as torch's own allocators report it."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["peak_bytes"]

_ALLOWED = 2**16  # bytes of earlier small allocations that a call may free


def peak_bytes(run: Callable[[], object], device: str = "cpu") -> int:
    """Return the peak of the bytes held during a call, beyond those held before it; results are included.

    On a CPU, the profiler reports that memory is freed only if a measured call allocated it. So before each call, clear
    what an earlier measured call has left, such as gradients.

    Raises:
        RuntimeError: the call freed memory of an earlier measured call, which would make its own peak too low.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        result = run()
    events = profile.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    held = most = least = 0
    for _, change in changes:
        held += change
        most, least = max(most, held), min(least, held)
    del result
    if least < -_ALLOWED:
        raise RuntimeError(
            f"the call freed {-least / 2**20:.1f} MiB that an earlier measured call allocated: clear them first"
        )
    return most
