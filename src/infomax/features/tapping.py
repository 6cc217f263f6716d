"""Local and global features from any encoder, by the names of its submodules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from infomax._checks import shape_of
from infomax._feature_pair import feature_pair
from infomax.features.axes import SPATIAL, ModuleTrace, may_be_last, shown_layout
from infomax.features.recorder import Recorder
from infomax.features.types import Features, FeatureShapes

__all__ = ["Tap", "Taps", "feature_shapes", "tap", "taps"]


class Tap(nn.Module):
    """An encoder whose call returns its local and global features; `tap` documents the options.

    Example:
        >>> import torch
        >>> from infomax import tap
        >>> encoder = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 4, 2, 1), torch.nn.Flatten(), torch.nn.Linear(128, 4))
        >>> features = tap(encoder, local="0", global_="2")
        >>> local, global_ = features(torch.rand(2, 3, 8, 8))
        >>> local.shape, global_.shape
        (torch.Size([2, 8, 4, 4]), torch.Size([2, 4]))
    """

    def __init__(
        self, encoder: nn.Module, *, local: str, global_: str | None = None, local_layout: str | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.local_layout = None if local_layout is None else _check_layout(local_layout)
        self._recorder = Recorder(encoder, {"local": local, "global_": global_ or ""})
        self._found = _Found()

    def forward(self, *args: Any, **kwargs: Any) -> Features:
        """Run the encoder on its own arguments, and return local (N, c, *spatial) and global features (N, d)."""
        trace = ModuleTrace(self.encoder) if self._needs_trace() else None
        with nullcontext() if trace is None else trace.recording():
            outputs = self._recorder.run(self.encoder, *args, **kwargs)
        (local, whole), (global_, _) = outputs["local"], outputs["global_"]
        layer = self._recorder.layers["local"]
        if local.is_nested:
            raise ValueError(
                f"{layer.title} must give a plain tensor, got a nested one; pad it and pass mask= to the loss, or give "
                "its rows and pass batch="
            )
        layout = self.local_layout
        if layout is None and local.ndim > 2:
            layout = self._layout_of(local, whole, len(global_) if global_.ndim else 0, trace)
        if layout is not None:
            local = _to_channels_second(local, layout)
        if local.ndim < 3 and self.local_layout is None:
            raise ValueError(
                f"{layer.title} must give local features (N, c, *spatial), with at least one spatial axis, got "
                f"{shape_of(local)}; tap an earlier layer, or pass local_layout='PC' for the rows of a ragged batch"
            )
        if global_.ndim < 2:
            raise ValueError(
                f"{self._recorder.layers['global_'].title} must give global features (N, d), got {shape_of(global_)}"
            )
        return Features(local, global_)

    def _needs_trace(self) -> bool:
        return self.local_layout is None and self._found.layout is None and not torch.compiler.is_compiling()

    def _layout_of(self, local: Tensor, whole: tuple[int, ...], examples: int, trace: ModuleTrace | None) -> str:
        """Return the layout of the local features, which is determined at the first call and kept."""
        if self._found.layout is None:
            layer = self._recorder.layers["local"]
            module = self.encoder.get_submodule(layer.module)
            found = None
            if len(whole) == local.ndim:  # only slices were taken, which keep all axes; a number would remove one
                found = shown_layout(module, whole) if trace is None else trace.layout(module, whole, examples)
                found = None if found == "N?C" else found
            unseen = trace is None and may_be_last(self.encoder, whole[-1])
            if found is None and local.ndim == len(whole) > 3 and not unseen:
                found = f"NC{SPATIAL[: local.ndim - 2]}"
            if found is None:
                raise ValueError(
                    f"{layer.title} gives local features of shape {shape_of(local)}, and no module shows which axis "
                    "holds the channels; pass local_layout='NPC' for (N, tokens, channels), 'NCP' for (N, channels, "
                    "locations), 'NHWC' or 'NCHW' for maps"
                    + ("; or call the tap once before torch.compile" if trace is None else "")
                )
            self._found.layout = found
        return self._found.layout

    def remove(self) -> None:
        """Remove the hooks from the encoder, as garbage collection does; the tap cannot be used afterwards."""
        self._recorder.remove()

    def extra_repr(self) -> str:
        """Return the layers, for `repr`."""
        layers = self._recorder.layers
        layout = f", local_layout={self.local_layout!r}" if self.local_layout else ""
        return f"local={layers['local'].spec!r}, global_={layers['global_'].spec!r}{layout}"


class _Found:
    """The layout that the first call determined, shared by the replicas of a tap."""

    def __init__(self) -> None:
        self.layout: str | None = None


class Taps(nn.Module):
    """An encoder whose call returns the outputs of named layers; `taps` documents the options.

    Example:
        >>> import torch
        >>> from infomax.features import taps
        >>> encoder = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
        >>> outputs = taps(encoder, {"hidden": "1", "y": "2"})(torch.rand(2, 3))
        >>> {name: tuple(value.shape) for name, value in outputs.items()}
        {'hidden': (2, 8), 'y': (2, 4)}
    """

    def __init__(self, encoder: nn.Module, layers: Mapping[str, str]) -> None:
        super().__init__()
        self.encoder = encoder
        self._recorder = Recorder(encoder, layers)

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Run the encoder on its own arguments, and return the outputs of the layers by name."""
        return {name: read.value for name, read in self._recorder.run(self.encoder, *args, **kwargs).items()}

    def remove(self) -> None:
        """Remove the hooks from the encoder, as garbage collection does; the object cannot be used afterwards."""
        self._recorder.remove()

    def extra_repr(self) -> str:
        """Return the layers, for `repr`."""
        return ", ".join(f"{key}={layer.spec!r}" for key, layer in self._recorder.layers.items())


def tap(encoder: nn.Module, local: str, global_: str | None = None, *, local_layout: str | None = None) -> Tap:
    """Make any encoder return its local and global features.

    A layer is the name of a submodule, as in ``dict(encoder.named_modules())``. Where a submodule returns a tuple, a
    dict, a dataclass or more tokens than needed, brackets select a part: ``"attention[0]"``, ``"[pooler_output]"`` (of
    the encoder's own output), ``"ln[:, 0]"`` (the class token), ``"ln[:, 1:]"`` (all other tokens).

    Args:
        encoder: any `nn.Module`. It is not copied: training the tap trains the encoder.
        local: the layer whose output is the local map, (N, c, *spatial).
        global_: the layer whose output is the global vector, (N, d), or (N, d, *spatial'); the encoder's own output
            when None.
        local_layout: the axes of the local layer's output, one letter per axis: ``"NPC"`` for tokens, ``"PNC"`` for
            tokens with the sequence first, ``"NHWC"`` for maps with channels last. ``N`` and ``C`` are the examples and
            channels; any other letter is a spatial axis. The tap permutes the axes without a copy. ``"PC"``, without N,
            stands for the rows of all examples, as in a batch of graphs; they are returned unchanged, for the argument
            ``batch=`` of the loss. When None, the first call determines the layout from the modules that computed the
            output: convolutions and batch norm put channels second; Linear, LayerNorm, Embedding, attention and
            recurrent layers put them last. If no module determines the layout, outputs of four or more axes are read as
            (N, c, *spatial), and for three axes the call raises.

    Returns:
        An `nn.Module` that takes the arguments of the encoder and returns `Features`, with gradients. The keys of its
        state dict are those of the encoder with the prefix ``encoder.``; ``features.encoder`` is the encoder itself.

    Raises:
        ValueError: the encoder does not have a submodule (the message lists close names), or a layout lacks N or C;
            when called, an output is not a local map or not a global vector, or is a nested tensor; an output does not
            have an index; or the order of axes is not known.
        TypeError: when called, a layer does not return a tensor.
        RuntimeError: when called, a layer did not run or ran several times in one forward, its output was overwritten
            in place, or it ran inside ``torch.utils.checkpoint`` with ``use_reentrant=True``, which returns outputs
            without gradient.

    Numerics:
        Values, dtypes and gradients are those of the encoder. Works under `torch.compile(fullgraph=True)`, where
        in-place overwriting is not detected, and inside `DistributedDataParallel`, `fully_shard` and `nn.DataParallel`
        (wrap the tap, not the encoder). Threads may share a tap. Layers that the tapped outputs do not depend on get no
        gradient. In evaluation mode, torch's transformers run without their fused path, which would skip submodules and
        return nested tensors; so padded tokens keep their place. Tensors made in `torch.inference_mode` do not count
        writes, so in that mode the tap keeps a copy of each tapped output and compares it at the end. This costs the
        memory of the copies and, on a GPU, one synchronisation per layer.

    Example:
        >>> from torch import nn
        >>> encoder = nn.Sequential()
        >>> encoder.add_module("body", nn.Conv2d(3, 16, 3))
        >>> encoder.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        >>> features = tap(encoder, local="body", global_="head")
        >>> local, global_ = features(torch.rand(2, 3, 8, 8))
        >>> tuple(local.shape), tuple(global_.shape)
        ((2, 16, 6, 6), (2, 16))
    """
    return Tap(encoder, local=local, global_=global_, local_layout=local_layout)


def taps(encoder: nn.Module, layers: Sequence[str] | Mapping[str, str]) -> Taps:
    """Make any encoder return the outputs of several named layers.

    Args:
        encoder: any `nn.Module`. It is not copied.
        layers: names of layers as for `tap`, or a mapping from names of your choice to such names.

    Returns:
        An `nn.Module` that takes the arguments of the encoder and returns a dict of tensors, in the order of
        ``layers``.

    Raises:
        TypeError: ``layers`` are not names.
        ValueError: there are no layers, or the encoder does not have one. When called, the module raises as `tap` does.

    Example:
        >>> encoder = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> outputs = taps(encoder, {"hidden": "1", "output": ""})(torch.rand(5, 4))
        >>> {name: tuple(output.shape) for name, output in outputs.items()}
        {'hidden': (5, 3), 'output': (5, 2)}
    """
    if isinstance(layers, str):
        layers = [layers]
    if not isinstance(layers, Mapping | Sequence):
        raise TypeError(f"layers must be names of layers, or a mapping to them, got {type(layers).__name__}")
    wrong = [type(layer).__name__ for layer in layers if not isinstance(layer, str)]
    if wrong:
        raise TypeError(f"layers must hold names, got {', '.join(wrong)}")
    if not layers:
        raise ValueError("layers must name at least one layer, got none")
    return Taps(encoder, layers if isinstance(layers, Mapping) else {name: name for name in layers})


def feature_shapes(features: nn.Module, *args: Any, **kwargs: Any) -> FeatureShapes:
    """Run an encoder or a tap once, and return the sizes of its features, from which a loss can be built.

    The module runs in evaluation mode without gradients. Training modes, buffers such as batch-norm statistics, and
    torch's random state are as before. `LocalDIMLoss.from_features` builds the loss directly.

    Args:
        features: a module that returns local and global features: a `Tap`, or one of `infomax.encoders`.
        *args: arguments of the call; a batch of one image is enough.
        **kwargs: keyword arguments of the call.

    Returns:
        `FeatureShapes`; pass the sizes on with ``DIMLoss(**shapes._asdict())``.

    Raises:
        TypeError: ``features`` is not a module, or does not return two tensors.
        ValueError: a returned tensor has no channel axis.

    Example:
        >>> from infomax import encoders
        >>> feature_shapes(encoders.conv32(), torch.rand(1, 3, 32, 32))
        FeatureShapes(local_dim=128, local_size=(8, 8), global_dim=64)
    """
    local, global_ = feature_pair(features, args, kwargs)
    return FeatureShapes(local.shape[1], tuple(local.shape[2:]), global_.shape[1])


def _check_layout(layout: str) -> str:
    if not isinstance(layout, str):
        raise TypeError(f"local_layout must be a string such as 'NPC', got {type(layout).__name__}")
    if "B" in layout and "N" in layout:
        raise ValueError(
            f"local_layout must not hold both N and B, got {layout!r}: N stands for the examples, and 'BNC' (batch, "
            "tokens, channels) is written 'NPC'"
        )
    if _of_rows(layout):
        return layout
    if len(set(layout)) != len(layout) or not {"N", "C"} <= set(layout) or len(layout) < 3:
        raise ValueError(
            "local_layout must name each axis with a letter of its own, N, C and at least one spatial axis, "
            f"as in 'NPC' or 'NHWC', or read 'PC' for the rows of a ragged batch, got {layout!r}"
        )
    return layout


def _of_rows(layout: str) -> bool:
    """Return whether a layout stands for the rows of a ragged batch."""
    return len(layout) == 2 and layout[1] == "C" and layout[0] not in "NC"


def _to_channels_second(local: Tensor, layout: str) -> Tensor:
    if local.ndim != len(layout):
        raise ValueError(f"local_layout {layout!r} does not fit local features of shape {shape_of(local)}")
    if _of_rows(layout) or layout.startswith("NC"):
        return local
    spatial = [axis for axis, letter in enumerate(layout) if letter not in "NC"]
    return local.permute(layout.index("N"), layout.index("C"), *spatial)
