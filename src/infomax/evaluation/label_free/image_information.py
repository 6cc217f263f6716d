"""Mutual information between images and their features, estimated by MINE with a critic trained from scratch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from infomax import functional as F
from infomax._checks import check_positive, shape_of
from infomax._modes import evaluating
from infomax._random import RandomState, as_generator
from infomax.encoders import Conv, ConvEncoder
from infomax.evaluation.checks import check_frozen, check_images
from infomax.evaluation.extract import Progress
from infomax.evaluation.fit import seeded
from infomax.evaluation.label_free.held_out import HeldOut, parts, train_critic
from infomax.evaluation.standardise import Standardise
from infomax.scores import PairScores

__all__ = ["ImageCritic", "image_information"]

_IMAGES = 512  # images per call of the critic in validation and test


class ImageCritic(nn.Module):
    r"""A critic of an image and a feature vector: the scaled product of a convolutional and a fully connected network.

    .. math:: T(x, y) = \langle f(x), g(y) \rangle / \sqrt{U}

    In f, 4x4 convolutions of stride 2 with 64, 128, ... channels halve the image until a side is below 8; a hidden
    layer of 512 and U outputs follow. In g, a hidden layer of 512 and U outputs follow the standardised features. All
    scores are initially 0, so training starts from a constant critic.

    Args:
        image_shape: (C, H, W).
        features: (N, D), the training set, whose mean and deviation standardise the features.
        units: number U of outputs of either network.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> from infomax.evaluation import ImageCritic
        >>> images, features = torch.rand(6, 1, 8, 8), torch.randn(6, 4)
        >>> critic = ImageCritic((1, 8, 8), features)
        >>> bool(F.dv_estimate(critic(images, features)).abs() < 1e-6)  # all scores are 0
        True
    """

    def __init__(self, image_shape: tuple[int, int, int], features: Tensor, *, units: int = 128) -> None:
        super().__init__()
        channels, height, width = image_shape
        halvings = max(1, (min(height, width) // 4).bit_length() - 1)
        convolutions = [Conv(64 * 2**number, 4, 2, 1) for number in range(halvings)]
        self.image = ConvEncoder(
            local=convolutions, fc=[512], input_size=(height, width), input_channels=channels, global_dim=units
        )
        output = nn.Linear(512, units)
        nn.init.zeros_(output.weight)
        nn.init.zeros_(output.bias)
        self.features = nn.Sequential(Standardise(features), nn.Linear(features.shape[1], 512), nn.ReLU(), output)
        self.scale = 1 / math.sqrt(units)

    def forward(self, images: Tensor, features: Tensor) -> PairScores:
        """Return the scores of every image (N, C, H, W) with every row of features (N, D)."""
        return F.dot_scores(self.image(images).global_, self.features(features), scale=self.scale)


def image_information(
    train_images: Tensor,
    train_features: Tensor,
    test_images: Tensor,
    test_features: Tensor,
    *,
    units: int = 128,
    epochs: int | None = None,
    lr: float = 1e-3,
    batch_size: int = 256,
    weight_decay: float = 1e-3,
    transform: Callable[[Tensor], Tensor] | None = None,
    random_state: RandomState = None,
    progress: Progress | None = None,
) -> HeldOut:
    r"""Estimate the mutual information of images and features, in nats, with a newly trained critic.

    .. math:: I(X; Y) \ge \mathbb{E}_{p(x, y)}[T] - \log \mathbb{E}_{p(x) p(y)}[e^T]

    A critic that was trained together with an encoder favours that encoder. The critic here is trained from scratch,
    so any encoders can be compared. It is trained on nine tenths of the training pairs, and the estimate on the
    remaining tenth selects the weights. The result is computed on the test pairs alone, over all their M (M - 1)
    marginal pairs. A continuous `y` that is a function of the image has infinite mutual information with the image;
    the estimate is the part that the critic finds with this number of examples, and it grows with that number. Compare
    encoders on the same images.

    Args:
        train_images: (N, C, H, W), or images that ``transform`` turns into this shape.
        train_features: (N, D), `y` of those images, for instance from `extract_features`. The critic and the batches
            are on the device of these features.
        test_images: (M, C, H, W), to measure on.
        test_features: (M, D).
        units: width U of the space in which the critic compares images and features.
        epochs: largest number of passes over the training part; when None, 20, or as many as make 1,000 steps if 20
            passes make fewer.
        lr: initial learning rate of AdamW; it decays along a cosine.
        batch_size: pairs per step; the marginal pairs join each image with the features of all others in the batch.
        weight_decay: weight decay of AdamW.
        transform: a function applied to each batch of images first, as in `extract_features`.
        random_state: an integer or a generator that determines weights and the order of pairs.
        progress: called after each validation with ``"critic"``, the steps done and the largest number of steps.

    Returns:
        `HeldOut`: ``nats`` on the test pairs; ``limit``, log M, above which M pairs can certify little; and more.

    Raises:
        TypeError: dtypes do not fit, or images are uint8 without a ``transform``.
        ValueError: shapes do not fit, there are fewer than 4 pairs, images or features are not finite, an option is out
            of range, or the training diverges.

    Numerics:
        Works in float32. The table of marginal scores is never stored, so memory does not grow with M squared.

    Source:
        Belghazi et al., ICML 2018 (MINE); Hjelm et al., ICLR 2019, section 4.1, as a measure of a representation.
        The limit: McAllester & Stratos, AISTATS 2020. The critic's layers are this library's choice.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> images = torch.rand(600, 1, 8, 8, generator=generator) + torch.arange(2.0).repeat(300)[:, None, None, None]
        >>> sign = (images.mean((1, 2, 3)) > 1).float()[:, None]  # one bit: log 2 = 0.69 nats
        >>> found = image_information(images[:400], sign[:400], images[400:], sign[400:], units=8, epochs=8,
        ...                           batch_size=64, random_state=0)
        >>> 0.5 < found.nats < 0.75
        True
    """
    train, test = check_frozen(train_features, test_features, at_least=4)
    check_images("train_images", train_images, train, transform)
    check_images("test_images", test_images, test, transform)
    units = check_positive("units", units)
    generator = as_generator(random_state)
    device = train.device
    fitted, held = parts(len(train), 0.1, generator)

    def read(name: str, images: Tensor) -> Tensor:
        images = images.to(device)
        images = (transform(images) if transform else images).float()
        if not bool(images.isfinite().all()):
            raise ValueError(f"{name} must be finite, got NaN or infinity{' after transform' if transform else ''}")
        return images

    def nats(name: str, images: Tensor, features: Tensor) -> float:
        seen = torch.cat([critic.image(read(name, part)).global_ for part in torch.split(images, _IMAGES)])
        return float(F.dv_estimate(F.dot_scores(seen, critic.features(features), scale=critic.scale)))

    with seeded(generator, device):
        shape = tuple(read("train_images", train_images[:2]).shape[1:])
        if len(shape) != 3 or min(shape[1:]) < 4:
            raise ValueError(
                f"train_images must have shape (N, C, H, W) with sides of at least 4 pixels, got "
                f"{shape_of(train_images)}"
                + (" before and (N, " + ", ".join(map(str, shape)) + ") after transform" if transform else "")
            )
        of_test = tuple(read("test_images", test_images[:2]).shape[1:])
        if of_test != shape:
            raise ValueError(f"test_images must have the shape of train_images, {shape} per image, got {of_test}")
        critic = ImageCritic(shape, train[fitted.to(device)], units=units).to(device, train.dtype)
        validation, epoch = train_critic(
            critic,
            lambda rows: critic(
                read("train_images", train_images[rows.to(train_images.device)]), train[rows.to(device)]
            ),
            lambda: nats("train_images", train_images[held.to(train_images.device)], train[held.to(device)]),
            fitted,
            epochs=epochs,
            lr=lr,
            batch_size=batch_size,
            weight_decay=weight_decay,
            generator=generator,
            progress=progress,
        )
        with evaluating(critic), torch.no_grad():
            return HeldOut(nats("test_images", test_images, test), math.log(len(test)), validation, epoch)
