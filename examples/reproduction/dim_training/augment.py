"""Augmentation of a whole batch at once, straight from the uint8 images: no per-image work, no PIL."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

LUMINANCE = (0.299, 0.587, 0.114)


def to_float(pixels: Tensor) -> Tensor:
    """Convert (N, H, W, C) uint8 to (N, C, H, W) in [-1, 1]; the result is channels_last without another copy."""
    return pixels.float().div_(127.5).sub_(1).permute(0, 3, 1, 2)


def centre(pixels: Tensor, size: int) -> Tensor:
    """Return the central ``size`` x ``size`` pixels of each image, or whole images if ``size`` is 0."""
    if not size:
        return pixels
    top, left = (pixels.shape[1] - size) // 2, (pixels.shape[2] - size) // 2
    return pixels[:, top : top + size, left : left + size]


def for_measuring(crop: int) -> Callable[[Tensor], Tensor]:
    """Return the transform for measuring an encoder: no augmentation, and the central crop if it trained on crops."""
    return lambda pixels: to_float(centre(pixels, crop))


class Augment:
    """Random crop, flip, zoom, colour and grey.

    Args:
        pixels: all the images, (N, H, W, C) uint8.
        crop: side of the random crops; 0: the size of the images.
        shift: pixels of reflection padding, added once to all images; crops of the original size are then shifted.
        flip: whether half the images are mirrored.
        area: zoom to a window of at least this share of the image, its aspect ratio changed by at most 4:3; 1: no zoom.
        jitter: strength of brightness, contrast, saturation and hue changes; 0: none.
        grey: share of images that are turned grey.
    """

    def __init__(
        self,
        pixels: Tensor,
        *,
        crop: int = 0,
        shift: int = 0,
        flip: bool = False,
        area: float = 1,
        jitter: float = 0,
        grey: float = 0,
    ) -> None:
        self.height, self.width = (crop, crop) if crop else pixels.shape[1:3]
        if shift:
            padded = [
                pad(part.permute(0, 3, 1, 2).float(), (shift,) * 4, mode="reflect").to(torch.uint8).permute(0, 2, 3, 1)
                for part in pixels.split(4096)
            ]
            pixels = torch.cat(padded).contiguous()
        self.pixels = pixels
        self.flip, self.area, self.jitter, self.grey = flip, area, jitter, grey
        colours = pixels.shape[3] == 3
        self.colour = (bool(jitter) or bool(grey)) and colours
        self.light = bool(jitter) and not colours

    def __call__(self, index: Tensor) -> Tensor:
        """Return a new random view of the images at ``index``: (n, C, h, w) in [-1, 1], channels_last."""
        images = to_float(self._window(index))
        if self.area < 1:
            images = self._zoom(images)
        if self.colour or self.light:
            images = self._recolour(images)
        return images

    def _window(self, index: Tensor) -> Tensor:
        n, (rows, columns) = len(index), self.pixels.shape[1:3]
        if not self.flip and (rows, columns) == (self.height, self.width):
            return self.pixels[index]
        device = self.pixels.device
        y = torch.randint(0, rows - self.height + 1, (n, 1), device=device)
        x = torch.randint(0, columns - self.width + 1, (n, 1), device=device)
        y = y + torch.arange(self.height, device=device)
        x = x + torch.arange(self.width, device=device)
        if self.flip:
            x = torch.where(torch.rand(n, 1, device=device) < 0.5, x.flip(1), x)
        flat = (index[:, None, None] * rows + y[:, :, None]) * columns + x[:, None, :]
        chosen = self.pixels.view(-1, self.pixels.shape[3]).index_select(0, flat.reshape(-1))
        return chosen.view(n, self.height, self.width, -1)

    def _zoom(self, images: Tensor) -> Tensor:
        """Resize a random window of each image to the size of the image."""
        n, device = len(images), images.device
        area = self.area + (1 - self.area) * torch.rand(n, device=device)
        aspect = torch.exp((torch.rand(n, device=device) * 2 - 1) * math.log(4 / 3))
        window = torch.stack([area * aspect, area / aspect], 1).sqrt().clamp(max=1)
        corner = (torch.rand(n, 2, device=device) * 2 - 1) * (1 - window)
        grid = affine_grid(
            torch.cat([torch.diag_embed(window), corner[:, :, None]], 2), images.shape, align_corners=False
        )
        zoomed = grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        return zoomed.contiguous(memory_format=torch.channels_last)

    def _recolour(self, images: Tensor) -> Tensor:
        """Change brightness, contrast, saturation, hue and grey, by one affine map of colours per image."""
        n, channels = images.shape[:2]
        device = images.device

        def uniform(strength: float) -> Tensor:
            return (torch.rand(n, 1, 1, device=device) * 2 - 1) * strength

        mix = torch.eye(channels, device=device).expand(n, channels, channels)
        if self.colour:
            luminance = torch.tensor(LUMINANCE, device=device).expand(3, 3)
            if self.jitter:
                saturation = 1 + uniform(self.jitter)
                turn = _rotation_about_grey(uniform(math.pi / 4 * self.jitter))
                mix = turn @ (saturation * mix + (1 - saturation) * luminance)
            if self.grey:
                is_grey = (torch.rand(n, 1, 1, device=device) < self.grey).float()
                mix = is_grey * luminance + (1 - is_grey) * mix
        contrast, brightness = 1 + uniform(self.jitter), uniform(self.jitter)
        colours = images.permute(0, 2, 3, 1).reshape(n, -1, channels)
        mean = colours.mean(1, keepdim=True) @ mix.transpose(1, 2)
        bias = mean * (1 - contrast) + brightness
        mixed = torch.baddbmm(bias.expand(-1, colours.shape[1], -1), colours, (contrast * mix).transpose(1, 2))
        return mixed.clamp_(-1, 1).view(n, *images.shape[2:], channels).permute(0, 3, 1, 2)


def _rotation_about_grey(angle: Tensor) -> Tensor:
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=angle.device) / math.sqrt(3)
    identity = torch.eye(3, device=angle.device)
    return angle.cos() * identity + (1 - angle.cos()) / 3 + angle.sin() * cross
