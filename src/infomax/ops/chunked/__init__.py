"""The chunked backend: plain torch, on any device, with any number of queries and keys in a fixed workspace."""

from infomax.ops.chunked.backward import backward
from infomax.ops.chunked.forward import forward

__all__ = ["backward", "forward"]
