"""Common encoders and how `tap` reads each: the table of docs/bring-your-own-encoder.md and the code that writes it.

``python tests/features/zoo.py`` runs all encoders and writes the table; test_zoo.py runs them and compares the table.
The encoders are small and have random weights, since only names and shapes matter.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from infomax import LocalDIMLoss, tap
from infomax.features import Features

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bring-your-own-encoder.md"
BEGIN, END = "<!-- begin: python tests/features/zoo.py -->\n", "<!-- end -->\n"


class Case(NamedTuple):
    """An encoder with its inputs, the layers to read, and the keyword arguments of the loss."""

    library: str
    name: str
    build: Callable[[], tuple[nn.Module, dict[str, Any] | Tensor]]
    local: str
    global_: str | None = None
    layout: str | None = None
    options: str = ""  # keyword arguments of the loss, in terms of the encoder's inputs


class Row(NamedTuple):
    """The result of a case: the features, the loss, and the first trainable parameter of the encoder."""

    features: Features
    loss: Tensor
    first: nn.Parameter


def run(case: Case) -> Row:
    """Read the features in training mode, build a loss of their sizes, and backpropagate."""
    torch.manual_seed(0)
    encoder, inputs = case.build()
    given = inputs if isinstance(inputs, dict) else {}
    features = tap(encoder, case.local, case.global_, local_layout=case.layout)
    loss_fn = LocalDIMLoss.from_features(features, inputs, units=8)
    read = features(**given) if given else features(inputs)
    loss = loss_fn(*read, **eval(f"dict({case.options})", dict(given)))
    loss.backward()
    return Row(read, loss, next(p for p in encoder.parameters() if p.requires_grad))


def table(rows: dict[Case, Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| library | encoder | `local=` | `global_=` | shapes, N = 2 | the loss takes |", "|" + "---|" * 6]
    for case, row in rows.items():
        layout = f", `local_layout={case.layout!r}`" if case.layout else ""
        shapes = ", ".join(str(tuple(value.shape)) for value in row.features)
        output = f"`{case.global_!r}`" if case.global_ else "left out"
        options = f"`{case.options}`" if case.options else ""
        name, _, remark = case.name.partition(" (")
        name = f"`{name}`" + (f" ({remark}" if remark else "")
        cells = [case.library, name, f"`{case.local!r}`{layout}", output, shapes, options]
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines).replace("'", '"') + "\n"


def written() -> str:
    """Return the table on the page."""
    match = re.search(f"{re.escape(BEGIN)}(.*?){re.escape(END)}", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    return match[1]


IMAGES = torch.rand(2, 3, 64, 64)
IDS = torch.arange(12).view(2, 6) + 5
MASK = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
TEXT = {"input_ids": IDS, "attention_mask": MASK}
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
TOKENS = "mask=attention_mask[:, 1:].bool()"


def torchvision(name: str, *args: Any) -> Callable[[], tuple[nn.Module, Tensor]]:
    def build() -> tuple[nn.Module, Tensor]:
        from torchvision import models

        return getattr(models, name)(*args), IMAGES

    return build


def convnext() -> tuple[nn.Module, Tensor]:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    return ConvNeXt([CNBlockConfig(24, 48, 1), CNBlockConfig(48, None, 1)]), IMAGES


def swin() -> tuple[nn.Module, Tensor]:
    from torchvision.models.swin_transformer import SwinTransformer

    return SwinTransformer([4, 4], 24, [1, 1], [2, 2], [4, 4]), IMAGES


def video() -> tuple[nn.Module, Tensor]:
    from torchvision.models.video import r3d_18

    return r3d_18(), torch.rand(2, 3, 4, 16, 16)


def timm(name: str, size: int = 64, **options: Any) -> Callable[[], tuple[nn.Module, Tensor]]:
    def build() -> tuple[nn.Module, Tensor]:
        from timm import create_model

        return create_model(name, **options), torch.rand(2, 3, size, size)

    return build


def transformers(name: str, inputs: dict[str, Any], **options: Any) -> Callable[[], tuple[nn.Module, dict[str, Any]]]:
    def build() -> tuple[nn.Module, dict[str, Any]]:
        import transformers

        model = getattr(transformers, name)
        return model(model.config_class(**options)), inputs

    return build


def text(name: str, **options: Any) -> Callable[[], tuple[nn.Module, dict[str, Any]]]:
    return transformers(name, TEXT, vocab_size=50, **options)


def vision(name: str, size: int = 32, **options: Any) -> Callable[[], tuple[nn.Module, dict[str, Any]]]:
    return transformers(name, {"pixel_values": torch.rand(2, 3, size, size)}, image_size=size, **options)


class Signal(nn.Module):
    """A convolutional net over d axes."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        convolution = {1: nn.Conv1d, 3: nn.Conv3d}[axes]
        self.body = nn.Sequential(convolution(2, 8, 3, 2), nn.ReLU(), convolution(8, 16, 3, 2))
        self.head = nn.Linear(16, 12)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(self.body(values).flatten(2).mean(2))


class Recurrent(nn.Module):
    """A recurrent net: the states at all steps are the local features, the last state is the global feature."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(5, 12, batch_first=True)

    def forward(self, values: Tensor) -> Tensor:
        return self.rnn(values)[1][0][-1]


class Encoder(nn.Module):
    """The transformer of torch, on padded sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        self.blocks = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 2, 64, batch_first=True), 2)

    def forward(self, ids: Tensor, padding: Tensor) -> Tensor:
        return self.blocks(self.embed(ids), src_key_padding_mask=padding)


class Graphs(nn.Module):
    """A graph network of PyG and a sum over the nodes of each graph."""

    def __init__(self, layers: str) -> None:
        super().__init__()
        from torch_geometric import nn as geometric

        self.nodes, self.pool = getattr(geometric, layers)(3, 16, 2), geometric.SumAggregation()

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        return self.pool(self.nodes(x, edge_index), batch)


def graphs(layers: str) -> tuple[nn.Module, dict[str, Any]]:
    edges = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])
    return Graphs(layers), {"x": torch.rand(5, 3), "edge_index": edges, "batch": torch.tensor([0, 0, 0, 1, 1])}


CASES = [
    Case("torchvision", "resnet18", torchvision("resnet18"), "layer2", "avgpool[:, :, 0, 0]"),
    Case("torchvision", "ConvNeXt", convnext, "features.1", "avgpool[:, :, 0, 0]"),
    Case(
        "torchvision",
        "VisionTransformer",
        torchvision("VisionTransformer", 64, 8, 2, 4, 32, 64),
        "encoder[:, 1:]",
        "encoder[:, 0]",
    ),
    Case("torchvision", "SwinTransformer", swin, "features.1", "flatten"),
    Case("torchvision", "r3d_18 (video)", video, "layer1", "avgpool[:, :, 0, 0, 0]"),
    Case("timm", "resnet18", timm("resnet18"), "layer2", "global_pool"),
    Case("timm", "convnext_atto", timm("convnext_atto"), "stages.1", "head.flatten"),
    Case(
        "timm",
        "vit_tiny_patch16_224",
        timm("vit_tiny_patch16_224", img_size=64, depth=2),
        "norm[:, 1:]",
        "norm[:, 0]",
    ),
    Case(
        "timm",
        "vit_small_patch14_reg4_dinov2",
        timm("vit_small_patch14_reg4_dinov2", 56, img_size=56, depth=2),
        "norm[:, 5:]",
        "norm[:, 0]",
    ),
    Case(
        "timm",
        "swin_tiny_patch4_window7_224",
        timm("swin_tiny_patch4_window7_224", 56, img_size=56, depths=(1, 1), num_heads=(2, 4), embed_dim=24),
        "layers.1",
        "head.global_pool",
    ),
    Case(
        "transformers",
        "BertModel",
        text("BertModel", **SMALL),
        "encoder[last_hidden_state][:, 1:]",
        "pooler",
        None,
        TOKENS,
    ),
    Case(
        "transformers",
        "DistilBertModel",
        text("DistilBertModel", dim=32, n_layers=2, n_heads=2, hidden_dim=64),
        "[last_hidden_state][:, 1:]",
        "[last_hidden_state][:, 0]",
        None,
        TOKENS,
    ),
    Case(
        "transformers",
        "T5EncoderModel",
        text("T5EncoderModel", d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2),
        "encoder.block.0[0]",
        "[last_hidden_state][:, 0]",
        None,
        "mask=attention_mask.bool()",
    ),
    Case(
        "transformers",
        "GPT2Model (padded on the left)",
        transformers(
            "GPT2Model",
            {"input_ids": IDS, "attention_mask": MASK.flip(1)},
            vocab_size=50,
            n_embd=32,
            n_layer=2,
            n_head=2,
            n_positions=16,
            bos_token_id=0,
            eos_token_id=0,
        ),
        "h.0",
        "[last_hidden_state][:, -1]",
        None,
        "mask=attention_mask.bool()",
    ),
    Case("transformers", "ViTModel", vision("ViTModel", patch_size=8, **SMALL), "layernorm[:, 1:]", "[pooler_output]"),
    Case(
        "transformers",
        "Dinov2WithRegistersModel",
        vision("Dinov2WithRegistersModel", patch_size=8, num_register_tokens=4, **{**SMALL, "intermediate_size": None}),
        "layernorm[:, 5:]",
        "layernorm[:, 0]",
    ),
    Case(
        "transformers",
        "CLIPVisionModel",
        vision("CLIPVisionModel", patch_size=8, **SMALL),
        "[last_hidden_state][:, 1:]",
        "[pooler_output]",
    ),
    Case(
        "transformers",
        "SwinModel",
        vision("SwinModel", 64, embed_dim=24, depths=[1, 1], num_heads=[2, 2], window_size=4),
        "[last_hidden_state]",
        "[pooler_output]",
    ),
    Case(
        "transformers",
        "ConvNextModel",
        vision("ConvNextModel", 64, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]),
        "encoder.stages.1",
        "[pooler_output]",
    ),
    Case(
        "transformers",
        "Wav2Vec2Model",
        transformers(
            "Wav2Vec2Model",
            {"input_values": torch.rand(2, 400)},
            conv_dim=(16, 16),
            conv_kernel=(10, 3),
            conv_stride=(5, 2),
            num_feat_extract_layers=2,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
            mask_time_prob=0.0,
            **SMALL,
        ),
        "feature_extractor",
        "[last_hidden_state][:, 0]",
    ),
    Case("torch", "Signal (Conv1d)", lambda: (Signal(1), torch.rand(2, 2, 64)), "body"),
    Case("torch", "Signal (Conv3d)", lambda: (Signal(3), torch.rand(2, 2, 16, 16, 16)), "body"),
    Case("torch", "LSTM", lambda: (Recurrent(), torch.rand(2, 7, 5)), "rnn[0]"),
    Case(
        "torch",
        "TransformerEncoder (padded)",
        lambda: (Encoder(), {"ids": IDS, "padding": ~MASK.bool()}),
        "blocks[:, 1:]",
        "blocks[:, 0]",
        None,
        "mask=~padding[:, 1:]",
    ),
    *(
        Case(
            "torch_geometric",
            f"{layers} (with SumAggregation)",
            partial(graphs, layers),
            "nodes",
            None,
            "PC",
            "batch=batch",
        )
        for layers in ("GIN", "GCN", "GAT", "GraphSAGE")
    ),
]


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    made = table({case: run(case) for case in CASES})
    PAGE.write_text(page.replace(written(), made), encoding="utf-8")
    sys.stdout.write(made)
