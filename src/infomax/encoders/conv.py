"""A plain convolutional encoder, divided into stages at the layers from which Deep InfoMax takes its features."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from infomax._checks import check_positive, check_sizes
from infomax.encoders.layers import Conv, check_layers, convolutions, fully_connected
from infomax.encoders.staged import StagedEncoder, image_size

__all__ = ["ConvEncoder"]


class ConvEncoder(StagedEncoder):
    r"""An encoder of convolutions, fully connected layers and a linear output `y`.

    .. math:: y = W\,\mathrm{fc}(\mathrm{conv}(\mathrm{local}(x))) + b

    `infomax.features.tap` and the evaluation can read features from four named submodules: ``local`` (the local map),
    ``conv`` (the last convolution), ``fc`` (the last hidden layer) and ``y``. Every layer except `y` has batch norm and
    ReLU after it and no bias, since the batch norm would cancel a bias. Use the paper's encoders (`conv28`, `conv32`,
    `conv64`, `alexnet64`) where they fit the images, and this class for other image sizes.

    Args:
        local: layers up to the local map, at least one.
        conv: layers from the local map to the last convolution; empty when the last convolution gives the local map,
            and then the submodule ``conv`` is the identity.
        fc: widths of the hidden fully connected layers, at least one.
        input_size: height and width of the images, pixels; one number for a square.
        input_channels: channels of the images.
        global_dim: width d of `y`.

    Attributes:
        local_dim: channels c of the local map.
        local_size: spatial size ``(h, w)`` of the local map.
        global_dim: width d of `y`.
        input_size: ``(height, width)`` of the images.
        input_channels: channels of the images.

    Returns:
        `Features`: ``local`` (N, c, h, w) and ``global_`` (N, d), in the dtype of the weights (or of autocast). The
        local map is channels_last when the images or the weights are. No unit.

    Raises:
        ValueError: the layers do not fit the image size; the images have another rank, size or device; there is no
            image, or only one in training mode (batch norm needs two).
        TypeError: the images are not floating point, or, without autocast, not of the dtype of the parameters.

    Numerics:
        Those of the layers. Safe under autocast; compiles to one graph with `torch.compile(fullgraph=True)`.

    Source:
        Hjelm et al., ICLR 2019, appendix on architectures. Weights start from PyTorch's default initialisation.

    Example:
        >>> import torch
        >>> encoder = ConvEncoder(local=[Conv(16, 3, 1, 1)], conv=[Conv(32, 4, 2, 1)], fc=[64],
        ...                       input_size=8, input_channels=1, global_dim=16)
        >>> local, global_ = encoder(torch.rand(4, 1, 8, 8))
        >>> tuple(local.shape), tuple(global_.shape)
        ((4, 16, 8, 8), (4, 16))
    """

    def __init__(
        self,
        *,
        local: Sequence[Conv],
        conv: Sequence[Conv] = (),
        fc: Sequence[int] = (1024,),
        input_size: int | tuple[int, int],
        input_channels: int = 3,
        global_dim: int = 64,
    ) -> None:
        size = image_size(input_size)
        input_channels = check_positive("input_channels", input_channels)
        global_dim = check_positive("global_dim", global_dim)
        local, conv = check_layers("local", local), check_layers("conv", conv)
        if not local:
            raise ValueError("local must hold at least one layer: its last one gives the local map")
        fc = check_sizes("fc", fc)

        to_local, local_size = convolutions(local, input_channels, size)
        to_conv, last_size = convolutions(conv, local[-1].channels, local_size, first=len(local) + 1)
        flat = (conv or local)[-1].channels * last_size[0] * last_size[1]
        super().__init__(
            local=to_local,
            conv=to_conv,
            fc=fully_connected(fc, flat),
            y=nn.Linear(fc[-1], global_dim),
            input_size=size,
            input_channels=input_channels,
            local_dim=local[-1].channels,
            local_size=local_size,
            global_dim=global_dim,
        )
