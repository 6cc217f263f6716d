"""The backend of float32 and of wide halves on CUDA: torch's matrix products, and kernels for all between them.

`plan` is plain arithmetic; importing `passes` imports Triton.
"""
