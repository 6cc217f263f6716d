"""The backend of wide features on CUDA: torch's matrix products, and one kernel per block between them.

`plan` is plain arithmetic; importing `passes` imports Triton.
"""
