"""Memory that runs out, reported as one line that names the options which decide how much a run needs."""

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import BadInput
from .options import Options, flag_of

SIZES = ("size", "crop", "batch", "dim", "units")
SAID = ("DefaultCPUAllocator: ", "out of memory")  # torch's words, which no exception class covers on all devices


@contextmanager
def within_memory(options: Options) -> Iterator[None]:
    """Raise `BadInput` in place of an error of an allocator."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in SAID):
            raise
        sizes = ", ".join(f"{flag_of(name)} {value}" for name in SIZES if (value := getattr(options, name)))
        said = str(error).split(SAID[0])[-1].splitlines() or [type(error).__name__]
        raise BadInput(f"{sizes}: expected sizes that fit into memory; got: {said[0]}") from error
