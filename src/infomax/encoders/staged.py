"""An encoder of images in four named stages, from which features can be read."""

from __future__ import annotations

from numbers import Integral

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from infomax._checks import check_floating, check_sizes, shape_of
from infomax._precision import check_fits_module
from infomax.features.types import Features

__all__ = ["StagedEncoder", "image_size"]


class StagedEncoder(nn.Module):
    r"""An encoder of four stages in sequence: the submodules ``local``, ``conv``, ``fc`` and ``y``.

    .. math:: y = \mathrm{y}(\mathrm{fc}(\mathrm{conv}(\mathrm{local}(x))))

    `infomax.features.tap` and the evaluation read ``local`` (the local map), ``conv`` (the last map), ``fc`` (the last
    hidden layer) and ``y`` by name. The paper's encoders are instances of this class; other encoders can be built from
    any modules.

    Args:
        local: module from images (N, C, H, W) to the local map.
        conv: module from the local map to the last map.
        fc: module from the last map to the last hidden layer.
        y: module from the last hidden layer to the global features, (N, d) or (N, d, \*spatial).
        input_size: height and width of the images, pixels; one number for a square.
        input_channels: channels of the images.
        local_dim: channels of the local map.
        local_size: spatial size of the local map.
        global_dim: channels of the global features.

    Attributes:
        local_dim: channels c of the local map.
        local_size: spatial size ``(h, w)`` of the local map.
        global_dim: width d of `y`.
        input_size: ``(height, width)`` of the images.
        input_channels: channels of the images.

    Returns:
        `Features`: ``local`` (N, c, h, w) and ``global_`` (N, d) or (N, d, \*spatial). No unit.

    Raises:
        ValueError: the images have another rank, size or device; there is no image, or only one while a batch norm is
            in training mode (it needs two).
        TypeError: the images are not floating point, or, without autocast, not of the dtype of the parameters.

    Numerics:
        Those of the stages.

    Source:
        Hjelm et al., ICLR 2019, figure 1, for the local and the global features; ``conv``, ``fc`` and ``y`` are the
        layers probed in its tables.

    Example:
        >>> encoder = StagedEncoder(
        ...     local=nn.Conv2d(1, 8, 4, 4), conv=nn.ReLU(), fc=nn.Flatten(), y=nn.Linear(32, 5),
        ...     input_size=(8, 8), input_channels=1, local_dim=8, local_size=(2, 2), global_dim=5)
        >>> local, global_ = encoder(torch.rand(4, 1, 8, 8))
        >>> tuple(local.shape), tuple(global_.shape)
        ((4, 8, 2, 2), (4, 5))
    """

    def __init__(
        self,
        *,
        local: nn.Module,
        conv: nn.Module,
        fc: nn.Module,
        y: nn.Module,
        input_size: int | tuple[int, int],
        input_channels: int,
        local_dim: int,
        local_size: tuple[int, int],
        global_dim: int,
    ) -> None:
        super().__init__()
        self.input_size = image_size(input_size)
        self.input_channels = input_channels
        self.local_dim = local_dim
        self.local_size = local_size
        self.global_dim = global_dim
        self.local = local
        self.conv = conv
        self.fc = fc
        self.y = y

    def forward(self, images: Tensor) -> Features:
        """Return the local map (N, c, h, w) and the global features of images (N, C, H, W)."""
        self._check(images)
        local = self.local(images)
        return Features(local, self.y(self.fc(self.conv(local))))

    def extra_repr(self) -> str:
        """Return the sizes, for `repr`."""
        return (
            f"input_size={self.input_size}, input_channels={self.input_channels}, "
            f"local_dim={self.local_dim}, local_size={self.local_size}, global_dim={self.global_dim}"
        )

    def _check(self, images: Tensor) -> None:
        check_floating("images", images)
        shape = (self.input_channels, *self.input_size)
        if images.ndim != 4 or tuple(images.shape[1:]) != shape:
            raise ValueError(
                f"images must have shape (N, {', '.join(map(str, shape))}), got {shape_of(images)}; resize or "
                "crop them, or build an encoder for that size and number of channels"
            )
        check_fits_module(self, "encoder", images=images)
        if images.shape[0] == 0:
            raise ValueError("images must hold at least one example, got 0")
        if images.shape[0] == 1 and any(isinstance(part, _BatchNorm) and part.training for part in self.modules()):
            raise ValueError(
                "images must hold at least two examples while training, since batch norm compares them, "
                "got 1; for a single image call encoder.eval() first"
            )


def image_size(input_size: int | tuple[int, int]) -> tuple[int, int]:
    """Return height and width, given both or one number for a square.

    Raises:
        TypeError: a side is not an integer.
        ValueError: there are not two sides, or one is below 1.
    """
    sides = check_sizes("input_size", [input_size] * 2 if isinstance(input_size, Integral) else input_size)
    if len(sides) != 2:
        raise ValueError(f"input_size must be one number or (height, width), got {input_size!r}")
    return sides[0], sides[1]
