"""The CUDA backend: tiles of scores that never leave the chip. Importing this imports Triton."""

from infomax.ops.triton.launch import backward, forward

__all__ = ["backward", "forward"]
