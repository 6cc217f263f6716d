"""The Triton backend for CUDA, in which tiles of scores never leave the chip. Importing this imports Triton."""

from infomax.ops.triton.launch import backward, forward

__all__ = ["backward", "forward"]
