"""Layers selected by name and index, as transformers, attention and dicts of outputs need it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from infomax.features import tap, taps
from infomax.features.layer import find_layer, select


class Pair(NamedTuple):
    states: Tensor
    weights: Tensor


@dataclass
class Output:
    states: Tensor
    weights: Tensor


class Returns(nn.Module):
    """A module that returns a given output, both from its layer ``inner`` and as its own output."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output
        self.inner = nn.Identity()

    def forward(self, _: Tensor) -> Any:
        return self.inner(self.output)


STATES, WEIGHTS = torch.arange(24.0).view(2, 3, 4), torch.rand(2, 5)
NOTHING = torch.zeros(1)


@pytest.mark.parametrize(
    ("output", "spec", "expected"),
    [
        (STATES, "inner", STATES),
        (STATES, "", STATES),
        ((STATES, WEIGHTS), "inner[0]", STATES),
        ((STATES, WEIGHTS), "inner[-1]", WEIGHTS),
        ([STATES, WEIGHTS], "[1]", WEIGHTS),
        ({"states": STATES, "weights": WEIGHTS}, "inner[weights]", WEIGHTS),
        (OrderedDict(states=STATES), "['states']", STATES),
        (Pair(STATES, WEIGHTS), "inner[weights]", WEIGHTS),
        (Output(STATES, WEIGHTS), "inner[states][:, 0]", STATES[:, 0]),
        (STATES, "inner[:, 0]", STATES[:, 0]),
        (STATES, "inner[:, 1:]", STATES[:, 1:]),
        (STATES, "inner[..., ::2]", STATES[..., ::2]),
        ((STATES, WEIGHTS), "inner[0][:, -1]", STATES[:, -1]),
        ({"pairs": [(STATES, WEIGHTS)]}, "[pairs][0][1]", WEIGHTS),
    ],
)
def test_what_brackets_pick(output: Any, spec: str, expected: Tensor) -> None:
    assert torch.equal(taps(Returns(output), {"it": spec})(NOTHING)["it"], expected)


@pytest.mark.parametrize(
    ("output", "spec", "error", "message"),
    [
        ((STATES, WEIGHTS), "inner", TypeError, r"must give a tensor, got a tuple of 2; pick one, as in 'inner\[0\]'"),
        ({"a": STATES}, "inner", TypeError, r"got a dict with keys a; pick one, as in 'inner\[a\]'"),
        (3, "inner", TypeError, "must give a tensor, got a int"),
        ((STATES,), "inner[1]", ValueError, r"asks for \[1\], which a tuple of 1 does not have"),
        ({"a": STATES}, "inner[b]", ValueError, r"asks for \[b\], which a dict with keys a does not have"),
        (
            Output(STATES, WEIGHTS),
            "inner",
            TypeError,
            r"got a Output with states, weights; pick one, as in 'inner\[states\]'",
        ),
        (
            Output(STATES, WEIGHTS),
            "[x]",
            ValueError,
            r"asks for \[x\], which a Output with states, weights does not have",
        ),
        (STATES, "[real]", ValueError, "which a tensor of shape"),
        (Pair(STATES, WEIGHTS), "[x]", ValueError, r"asks for \[x\], which a Pair of 2 does not have"),
        (STATES, "inner[:, :, :, 0]", ValueError, r"which a tensor of shape \(2, 3, 4\) does not have"),
        (STATES, "inner[states]", ValueError, "which a tensor of shape"),
    ],
)
def test_what_brackets_cannot_pick(output: Any, spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        taps(Returns(output), {"it": spec})(NOTHING)


def test_a_key_among_several_is_refused() -> None:
    with pytest.raises(ValueError, match=r"numbers and slices, or be one key, got \[a, 0\]"):
        find_layer(Returns(STATES), "inner[a, 0]")


def test_a_submodule_whose_name_has_brackets_is_found() -> None:
    encoder = nn.ModuleDict({"a[0]": nn.Identity()})
    assert find_layer(encoder, "a[0]").module == "a[0]"


bounds = st.none() | st.integers(-3, 3)
indices = st.integers(-2, 1) | st.slices(3).filter(lambda item: item.step is None or item.step > 0)


@given(st.lists(indices, min_size=1, max_size=3))
def test_an_index_reads_as_python_reads_it(index: list[int | slice]) -> None:
    def text(item: int | slice) -> str:
        if isinstance(item, int):
            return str(item)
        return ":".join("" if part is None else str(part) for part in (item.start, item.stop, item.step))

    layer = find_layer(nn.Identity(), f"[{', '.join(map(text, index))}]")
    assert torch.equal(select(STATES, layer)[0], STATES[tuple(index)])


class TestTokens:
    """A transformer with a class token."""

    @pytest.fixture
    def encoder(self) -> nn.Module:
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        return nn.Sequential(OrderedDict(blocks=nn.TransformerEncoder(layer, 1), head=nn.Linear(8, 3)))

    def test_class_token_and_patches_apart(self, encoder: nn.Module) -> None:
        tokens = torch.rand(2, 10, 8)
        features = tap(encoder, local="blocks[:, 1:]", global_="blocks[:, 0]", local_layout="NPC")
        local, global_ = features(tokens)
        states = encoder.blocks(tokens)
        torch.testing.assert_close(local, states[:, 1:].transpose(1, 2))
        torch.testing.assert_close(global_, states[:, 0])

    @pytest.mark.parametrize(
        ("layout", "shape"),
        [("NCP", (2, 3, 4)), ("NPC", (2, 4, 3)), ("CPN", (4, 2, 3)), ("PNC", (3, 4, 2))],
    )
    def test_any_order_of_axes_is_a_view(self, layout: str, shape: tuple[int, ...]) -> None:
        features = tap(Returns((STATES, WEIGHTS)), "inner[0]", "inner[1]", local_layout=layout)
        local = features(NOTHING).local
        assert tuple(local.shape) == shape
        assert local.data_ptr() == STATES.data_ptr()

    def test_maps_with_channels_last(self) -> None:
        images = torch.rand(2, 5, 6, 3)
        local = tap(Returns((images, WEIGHTS)), "inner[0]", "inner[1]", local_layout="NHWC")(NOTHING).local
        torch.testing.assert_close(local, images.permute(0, 3, 1, 2))


class Pyramid(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"0": x, "pool": x.mean(1, keepdim=True)}


def test_a_key_that_is_a_number_in_text() -> None:
    """The message proposed 'f[0]', which was then refused. Feature pyramids of torchvision have such keys."""
    encoder = nn.Sequential()
    encoder.add_module("f", Pyramid())
    features = tap(encoder, local="f[0]", global_="f[pool]", local_layout="NCP")
    x = torch.randn(2, 3, 4)
    assert features(x).local is not None
    assert torch.equal(features(x).local, x)


def test_steps_that_no_tensor_takes_are_told_by_the_layer() -> None:
    encoder = nn.Sequential(nn.Conv1d(3, 4, 1))
    with pytest.raises(ValueError, match=r"asks for \[.*\], which a tensor of shape .* does not have"):
        tap(encoder, local="0", global_="0[:, ::-1]")(torch.randn(2, 3, 5))


def test_an_encoder_without_submodules_has_none_to_name() -> None:
    with pytest.raises(ValueError, match="it has none"):
        tap(nn.Conv2d(3, 8, 3), local="foo", global_="foo")
