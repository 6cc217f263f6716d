"""Forcing a backend and a workspace."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import torch

from infomax._random import random_state
from infomax.ops import pairwise_logsumexp, use_backend, use_workspace
from infomax.ops.dispatch import choose
from infomax.ops.settings import DEFAULT_WORKSPACE, forced_backend, forced_now, workspace
from infomax.scores.ring import _gradients_of_held

QUERY, KEY = torch.zeros(2, 3), torch.zeros(4, 3)
SPACE = DEFAULT_WORKSPACE


def test_blocks_nest_and_end_with_an_exception() -> None:
    assert forced_backend() is None
    with use_backend("reference"):
        with use_backend("chunked"):
            assert choose(QUERY, "logsumexp", SPACE) == "chunked"
        assert choose(QUERY, "logsumexp", SPACE) == "reference"
        with use_backend(None):
            assert choose(QUERY, "logsumexp", SPACE) == "chunked"
        with pytest.raises(KeyError), use_backend("chunked"):
            raise KeyError
        assert choose(QUERY, "logsumexp", SPACE) == "reference"
    assert forced_backend() is None


def test_a_choice_holds_for_its_thread() -> None:
    seen: list[object] = []
    with use_backend("reference"), use_workspace(2**20):
        thread = threading.Thread(target=lambda: seen.extend([forced_backend(), workspace(QUERY.device)]))
        thread.start()
        thread.join()
    assert seen == [None, DEFAULT_WORKSPACE]


def test_an_unknown_backend_is_refused() -> None:
    match = "name must be one of 'reference', 'chunked', 'triton', 'blockwise' or None, got 'cuda'"
    with pytest.raises(ValueError, match=match), use_backend("cuda"):
        pass


@pytest.mark.parametrize("size", [0, 2**16 - 1, 1.5, True, None])
def test_a_workspace_that_holds_nothing_is_refused(size: object) -> None:
    with pytest.raises(ValueError, match="size must be an integer number of bytes"), use_workspace(size):  # type: ignore[arg-type]
        pass


def test_triton_says_why_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    with use_backend("triton"):
        with pytest.raises(RuntimeError, match=r"compute in float32 and do not support float64; use_backend\(None\)"):
            pairwise_logsumexp(QUERY.double(), KEY.double())
        with pytest.raises(RuntimeError, match="grow with the scores and may overflow float16"):
            choose(QUERY.half(), "square_sum", SPACE)
        monkeypatch.delenv("TRITON_INTERPRET", raising=False)
        with pytest.raises(RuntimeError, match=r'use_backend\("triton"\): its kernels run on CUDA .* got cpu'):
            pairwise_logsumexp(QUERY, KEY)
    monkeypatch.setattr("infomax.ops.dispatch._TRITON_INSTALLED", False)
    with use_backend("triton"), pytest.raises(RuntimeError, match="Triton is not installed"):
        pairwise_logsumexp(QUERY, KEY)
    assert choose(QUERY, "logsumexp", SPACE) == "chunked"


def test_triton_is_not_imported_on_a_cpu() -> None:
    code = (
        "import sys, torch, infomax.ops\n"
        "x = torch.randn(3, 2, requires_grad=True)\n"
        "infomax.ops.pairwise_logsumexp(x, x).sum().backward()\n"
        "print([name for name in ('triton', 'infomax.ops.triton', 'sklearn', 'matplotlib') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_what_is_forced_can_be_forced_in_another_thread() -> None:
    """The backward pass of a ring runs in a thread of autograd, but uses the settings forced in the forward pass."""
    seen: list[tuple[object, int]] = []

    class Rotation:
        reduction = "sum"

        def reduce_held(self, query: torch.Tensor, key: torch.Tensor, source: int) -> torch.Tensor:
            seen.append((forced_backend(), workspace(query.device)))
            return (query @ key.T).sum(1)

    with use_backend("reference"), use_workspace(2**16):
        ctx = SimpleNamespace(forced=forced_now(), autocast=None, rotation=Rotation(), parameters=())
    query, key = torch.ones(2, 3), torch.ones(4, 3)

    def backward() -> None:
        _gradients_of_held(ctx, torch.ones(2), query, key, 0, torch.zeros(2), random_state([]))
        seen.append((forced_backend(), workspace(query.device)))

    thread = threading.Thread(target=backward)
    thread.start()
    thread.join()
    assert seen == [("reference", 2**16), (None, DEFAULT_WORKSPACE)]
