"""The blockwise backend, in plain torch: any device, any number of queries and keys, a fixed workspace."""

from infomax.ops.chunked.backward import backward
from infomax.ops.chunked.forward import forward

__all__ = ["backward", "forward"]
