"""The memory bound is measured, and the measurement is shown to detect a violation."""

from __future__ import annotations

import pytest
import torch
from ops.cases import plain
from torch import Tensor

from benchmarks.memory import peak_bytes
from infomax.ops import pairwise_with_joint, use_backend, use_workspace

MIB = 2**20


def problem(queries: int, keys: int, dim: int, dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], int]:
    """Return inputs with groups in sorted runs, and the bytes of their gradients and of vectors of the same lengths."""
    query, key = torch.randn(queries, dim, dtype=dtype), torch.randn(keys, dim, dtype=dtype)
    key_group = torch.arange(keys) * queries // keys
    tensors = [query.requires_grad_(), key.requires_grad_(), torch.arange(queries), key_group, key_group]
    gradients = (query.numel() + key.numel()) * query.element_size()
    vectors = 32 * (queries + keys)
    return [*tensors, torch.arange(keys)], gradients + vectors


def step(tensors: list[Tensor], reduction: str, op=pairwise_with_joint, **options: float | None):
    def run() -> tuple[Tensor, ...]:
        value, joint = op(reduction, *tensors, scale=1.0, **{"clip": None, **options})
        return torch.autograd.grad((value.sum() - joint.sum()), tensors[:2])

    return run


@pytest.mark.parametrize(("clip", "soft_clip"), [(None, None), (1.0, 1.5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sizes", [(256, 8192, 16), (4096, 512, 16), (3000, 3000, 4)], ids=str)
@pytest.mark.parametrize("reduction", ["logsumexp", "softplus"])
def test_a_small_workspace_holds(
    reduction: str, sizes: tuple[int, int, int], dtype: torch.dtype, clip: float | None, soft_clip: float | None
) -> None:
    tensors, allowed = problem(*sizes, dtype)
    table = sizes[0] * sizes[1] * 4
    with use_backend("chunked"), use_workspace(MIB):
        peak = peak_bytes(step(tensors, reduction, clip=clip, soft_clip=soft_clip))
    assert peak <= allowed + MIB < table + allowed


@pytest.mark.parametrize("soft_clip", [None, 1.5])
@pytest.mark.parametrize("reduction", ["logsumexp", "softplus"])
def test_a_kept_table_is_within_the_workspace(reduction: str, soft_clip: float | None) -> None:
    tensors, allowed = problem(64, 4096, 16)
    with use_backend("chunked"), use_workspace(4 * MIB):
        peak = peak_bytes(step(tensors, reduction, soft_clip=soft_clip))
    assert MIB < peak <= allowed + 4 * MIB, "1 MiB of scores are kept"


def test_the_measurement_notices_a_table() -> None:
    tensors, allowed = problem(256, 8192, 16)
    assert peak_bytes(step(tensors, "logsumexp", plain)) > allowed + 2 * 8 * MIB
    with use_backend("reference"):
        assert peak_bytes(step(tensors, "logsumexp")) > allowed + 2 * 8 * MIB


@pytest.mark.slow
def test_a_batch_of_4096() -> None:
    """A table of scores would take 4 GiB."""
    torch.set_num_threads(max(1, torch.get_num_threads()))
    tensors, allowed = problem(4096, 4096 * 64, 128)
    with use_backend("chunked"):
        assert peak_bytes(step(tensors, "logsumexp")) <= allowed + 64 * MIB
