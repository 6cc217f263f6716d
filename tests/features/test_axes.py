"""Three axes: channels and tokens are told apart, or the layout is asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from infomax.features import feature_shapes, tap

N, P, C = 2, 5, 6


class Pooled(nn.Module):
    """Runs a body, and pools what it gives over the axis of tokens."""

    def __init__(self, body: nn.Module, axis: int = 1) -> None:
        super().__init__()
        self.body, self.axis = body, axis

    def forward(self, values: Tensor) -> Tensor:
        output = self.body(values)
        return (output[0] if isinstance(output, tuple) else output).mean(self.axis)


class Block(nn.Module):
    """A residual block as the libraries of transformers write it: its own module shows nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.inner, self.outer = nn.LayerNorm(C), nn.Linear(C, 3 * C), nn.Linear(3 * C, C)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.outer(self.inner(self.norm(tokens)).relu())


class Turned(nn.Module):
    """Channels second out of a Linear, by a transposition that no module shows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(C, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.linear(tokens).transpose(1, 2)


TOKENS = torch.rand(N, P, C)
LAST = {
    "linear": nn.Linear(C, C),
    "norm": nn.LayerNorm(C),
    "activation": nn.Sequential(nn.Linear(C, C), nn.GELU(), nn.Dropout()),
    "layer": nn.TransformerEncoderLayer(C, 2, 8, batch_first=True),
    "stack": nn.TransformerEncoder(
        nn.TransformerEncoderLayer(C, 2, 8, batch_first=True), 1, enable_nested_tensor=False
    ),
    "block": Block(),
    "blocks": nn.Sequential(Block(), Block()),
}


@pytest.mark.parametrize("name", LAST)
@pytest.mark.parametrize("training", [True, False])
def test_channels_last_are_moved_to_the_second_axis(name: str, training: bool) -> None:
    torch.manual_seed(0)
    encoder = Pooled(LAST[name]).train(training)
    features = tap(encoder, "body")
    state = torch.get_rng_state()
    ours = features(TOKENS).local
    torch.set_rng_state(state)
    torch.testing.assert_close(ours, tap(encoder, "body", local_layout="NPC")(TOKENS).local)
    shapes = feature_shapes(features, TOKENS[:1])
    assert (shapes.local_dim, shapes.local_size) == (C, (P,))


def test_brackets_keep_the_layout() -> None:
    assert tuple(tap(Pooled(Block()), "body[:, 1:]", "body[:, 0]")(TOKENS).local.shape) == (N, C, P - 1)


def test_an_embedding() -> None:
    assert tuple(tap(Pooled(nn.Embedding(9, C)), "body")(torch.randint(9, (N, P))).local.shape) == (N, C, P)


@pytest.mark.parametrize("length", [P, C])
def test_convolutions_are_as_they_were(length: int) -> None:
    values = torch.rand(N, 3, length)
    for body in (nn.Conv1d(3, C, 1), nn.Sequential(nn.Conv1d(3, C, 1), nn.BatchNorm1d(C), nn.ReLU())):
        encoder = Pooled(body, axis=2).eval()
        torch.testing.assert_close(tap(encoder, "body")(values).local, body(values))


def test_sequence_first() -> None:
    layer = nn.TransformerEncoderLayer(C, 2, 8)
    assert tuple(tap(Pooled(layer, axis=0), "body")(torch.rand(P, N, C)).local.shape) == (N, C, P)
    attention = nn.LSTM(C, 4, batch_first=True)
    assert tuple(tap(Pooled(attention), "body[0]")(TOKENS).local.shape) == (N, 4, P)


@pytest.mark.parametrize("body", [nn.Identity(), Turned(4), nn.Sequential(Turned(P), nn.ReLU())])
def test_what_nothing_shows_asks_for_the_layout(body: Any) -> None:
    with pytest.raises(ValueError, match=r"layer 'body' gives local features of shape .*pass local_layout='NPC'"):
        tap(Pooled(body), "body")(TOKENS)
    local = tap(Pooled(body), "body", local_layout="NCP")(TOKENS).local
    torch.testing.assert_close(local, body(TOKENS))


def test_the_hook_on_all_modules_is_gone_afterwards() -> None:
    hooks = torch.nn.modules.module._global_forward_hooks
    before = len(hooks)
    tap(Pooled(Block()), "body")(TOKENS)
    with pytest.raises(ValueError, match="no module shows"):
        tap(Pooled(nn.Identity()), "body")(TOKENS)
    assert len(hooks) == before


def test_the_answer_is_kept_and_serves_a_compiled_tap() -> None:
    torch.compiler.reset()
    features = tap(Pooled(Block()), "body")
    expected = features(TOKENS).local
    compiled = torch.compile(features, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(TOKENS).local, expected)
