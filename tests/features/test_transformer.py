"""Taps on the transformers of torch, whose fused path for evaluation skips modules and returns nested tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from infomax import LocalDIMLoss
from infomax.evaluation import extract_features
from infomax.features import tap

N, P, C = 3, 6, 8


class Padded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(C, 2, 16, batch_first=True, dropout=0.0)
        self.blocks, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(C, 5)

    def forward(self, tokens: Tensor, padding: Tensor) -> Tensor:
        return self.head(self.blocks(tokens, src_key_padding_mask=padding)[:, 0])


TOKENS = torch.rand(N, P, C)
PADDING = torch.arange(P) >= torch.tensor([[6], [4], [3]])


@pytest.fixture
def encoder() -> Padded:
    return Padded()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize(
    "layer", ["blocks.layers.0", "blocks", "blocks.layers.1.linear1", "blocks.layers.0.self_attn[0]"]
)
def test_evaluation_gives_what_training_gives(encoder: Padded, layer: str, mode: Any) -> None:
    features = tap(encoder, layer)
    expected = features(TOKENS, PADDING)
    encoder.eval()
    with mode():
        local, global_ = features(TOKENS, PADDING)
    real = ~PADDING
    torch.testing.assert_close(local.transpose(1, 2)[real], expected.local.transpose(1, 2)[real], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(global_, expected.global_, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_the_fused_path_is_left_on_for_all_others(encoder: Padded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tap turns the fused path off for its own call only; a direct call of the encoder still uses it."""
    calls: list[int] = []
    fused = torch._transformer_encoder_layer_fwd

    def counted(*args: Any) -> Tensor:
        calls.append(1)
        return fused(*args)

    monkeypatch.setattr(torch, "_transformer_encoder_layer_fwd", counted)
    encoder.eval()
    features = tap(encoder, "head", "head", local_layout="PC")
    with torch.no_grad():
        encoder(TOKENS, PADDING)
        assert len(calls) == 2
        features(TOKENS, PADDING)
        assert len(calls) == 2
        encoder(TOKENS, PADDING)
    assert len(calls) == 4
    assert torch.backends.mha.get_fastpath_enabled()


def test_padding_has_no_influence_on_the_loss(encoder: Padded) -> None:
    features = tap(encoder.eval(), "blocks[:, 1:]", "blocks[:, 0]")
    loss_fn = LocalDIMLoss.from_features(features, (TOKENS, PADDING), units=8).eval()
    other = torch.where(PADDING[:, :, None], 100.0, TOKENS)
    with torch.no_grad():
        one, two = (loss_fn(*features(tokens, PADDING), mask=~PADDING[:, 1:]) for tokens in (TOKENS, other))
    torch.testing.assert_close(one, two)


def test_features_are_extracted(encoder: Padded) -> None:
    data = {"tokens": TOKENS, "padding": PADDING}
    found, _ = extract_features(encoder, data, {"first": "blocks.layers.0[:, 0]", "y": ""}, batch_size=2)
    torch.testing.assert_close(found["y"], encoder(TOKENS, PADDING).detach(), atol=1e-5, rtol=1e-5)
    assert found["first"].shape == (N, C)
