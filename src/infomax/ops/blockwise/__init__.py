"""The blockwise backend, for float32 and wide half precision on CUDA: torch's products, and kernels between them.

Importing `passes` imports Triton; importing `plan` does not.
"""
