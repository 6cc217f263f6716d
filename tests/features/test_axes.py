"""The axis of channels: a tap finds it from the modules of the encoder, or asks for the layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from infomax import LocalDIMLoss
from infomax.features import feature_shapes, tap

N, P, C = 2, 5, 6


@dataclass
class Output:
    """An output like those of transformer libraries."""

    states: Tensor


class Pooled(nn.Module):
    """A module that runs a body and averages its output over the axis of tokens."""

    def __init__(self, body: nn.Module, axis: int = 1) -> None:
        super().__init__()
        self.body, self.axis = body, axis

    def forward(self, values: Tensor) -> Tensor:
        output = self.body(values)
        return (output[0] if isinstance(output, tuple) else output).mean(self.axis)


class Block(nn.Module):
    """A residual block as transformer libraries write it: only its inner modules show which axis holds channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.inner, self.outer = nn.LayerNorm(C), nn.Linear(C, 3 * C), nn.Linear(3 * C, C)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.outer(self.inner(self.norm(tokens)).relu())


class Turned(nn.Module):
    """A Linear layer and a transposition that moves the channels to the second axis, which no module shows."""

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


class Stage(nn.Module):
    """A stage of a Swin transformer: its norm and Linear layers show that the channels are in the last axis."""

    def __init__(self, width: int = C) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.mlp(self.norm(maps))


class Norm2d(nn.LayerNorm):
    """A layer norm over channels in the second axis, as in ConvNeXt."""

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class TestMaps:
    """Four or more axes: maps with channels last are recognised, and no other map is mistaken for one."""

    @pytest.mark.parametrize("shape", [(N, 4, 5, C), (N, 2, 4, 5, C), (N, C, 4, C), (N, 4, 4, C)])
    def test_channels_last(self, shape: tuple[int, ...]) -> None:
        maps = torch.rand(shape)
        body = Stage()
        torch.testing.assert_close(tap(Pooled(body), "body")(maps).local, body(maps).movedim(-1, 1))
        shapes = feature_shapes(tap(Pooled(body), "body"), maps[:1])
        assert shapes.local_dim == C

    @pytest.mark.parametrize("width", [4, C])  # of the map; C is also the number of channels
    def test_channels_second(self, width: int) -> None:
        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv, self.norm = nn.Conv2d(3, C, 1), Norm2d(C)
                self.inner, self.outer = nn.Linear(C, 8), nn.Linear(8, C)

            def forward(self, maps: Tensor) -> Tensor:
                maps = self.norm(self.conv(maps))
                return maps + self.outer(self.inner(maps.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)

        body, maps = Block(), torch.rand(N, 3, 5, width)
        torch.testing.assert_close(tap(Pooled(body), "body")(maps).local, body(maps))

    def test_where_nothing_shows_it_channels_are_second(self) -> None:
        maps = torch.rand(N, 3, 4, 5)
        assert torch.equal(tap(Pooled(nn.Identity()), "body")(maps).local, maps)

    def test_modules_that_disagree_over_equal_axes(self) -> None:
        body = nn.Sequential(nn.Conv2d(3, C, 1), Stage(), nn.Identity())
        with pytest.raises(
            ValueError, match=r"\(2, 6, 6, 6\) do not show which axis is the channels; pass local_layout='NCHW'"
        ):
            tap(Pooled(body), "body")(torch.rand(N, 3, C, C))
        one = tap(Pooled(Stage()), "body")(torch.rand(N, C, C, C))
        assert tuple(one.local.shape) == (N, C, C, C)

    @pytest.mark.filterwarnings("ignore:The .grad attribute")  # the tracer warns as it gives up
    def test_compiled_before_the_first_call_it_asks_rather_than_guesses(self) -> None:
        torch.compiler.reset()
        compiled = torch.compile(tap(Pooled(Stage()), "body"), backend="eager")
        with pytest.raises(ValueError, match="or call the tap once before"):
            compiled(torch.rand(N, 4, 5, C))

    def test_a_number_in_brackets_takes_an_axis_away(self) -> None:
        maps = torch.rand(N, 3, 4, 5)
        with pytest.raises(ValueError, match="pass local_layout"):
            tap(Pooled(nn.Identity()), "body[..., 0]")(maps)
        local = tap(Pooled(nn.Identity()), "body[..., 0]", local_layout="NCP")(maps).local
        assert torch.equal(local, maps[..., 0])


@pytest.mark.parametrize("wrap", [lambda t: {"states": t}, lambda t: (t, None), lambda t: [t], Output])
def test_tokens_inside_what_a_module_returns(wrap: Any) -> None:
    """The encoder returns a dict, a dataclass, a list or a tuple, with a tensor that an inner module made."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()

        def forward(self, tokens: Tensor) -> Any:
            return wrap(self.block(tokens))

    model = Model()
    spec = "[0]" if isinstance(wrap(TOKENS), (tuple, list)) else "[states]"
    local, global_ = tap(model, f"{spec}[:, 1:]", f"{spec}[:, 0]")(TOKENS)
    states = model.block(TOKENS)
    torch.testing.assert_close(local, states[:, 1:].transpose(1, 2))
    torch.testing.assert_close(global_, states[:, 0])


def test_rows_of_a_ragged_batch() -> None:
    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(3, C)

        def forward(self, rows: Tensor, batch: Tensor) -> Tensor:
            nodes = self.body(rows)
            return nodes.new_zeros(2, C).index_add(0, batch, nodes)

    sums, rows, batch = Sums(), torch.rand(5, 3), torch.tensor([1, 0, 1, 1, 0])
    features = tap(sums, "body", local_layout="PC")
    local, global_ = features(rows, batch)
    assert torch.equal(local, sums.body(rows))
    assert feature_shapes(features, rows, batch) == (C, (), C)
    loss_fn = LocalDIMLoss.from_features(features, (rows, batch), critic="bilinear")
    assert loss_fn(local, global_, batch=batch).isfinite()
    with pytest.raises(ValueError, match="pass local_layout='PC' for the rows of a ragged batch"):
        tap(sums, "body")(rows, batch)


def test_a_nested_tensor() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Identity()

        def forward(self, tokens: Tensor) -> Tensor:
            self.body(torch.nested.nested_tensor(list(tokens), layout=torch.jagged))
            return tokens[:, 0]

    with pytest.raises(ValueError, match=r"layer 'body' must give a plain tensor, got a nested one; pad it"):
        tap(Nested(), "body")(TOKENS)


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
