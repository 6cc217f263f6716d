"""`fine_tune` learns from the training labels only, and leaves the given encoder unchanged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from infomax.encoders import ConvEncoder
from infomax.evaluation import fine_tune

tune = partial(fine_tune, epochs=6, batch_size=16, lr=3e-3)


def seed(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def stripes(rows: int, start: int) -> tuple[Tensor, Tensor]:
    """Return noisy images of vertical or horizontal stripes, with labels."""
    labels = torch.randint(2, (rows,), generator=seed(start))
    lying = torch.arange(6).remainder(2).float().view(1, 1, 6, 1).expand(rows, 1, 6, 6)
    images = torch.where(labels.view(-1, 1, 1, 1) == 0, lying, lying.transpose(2, 3))
    return images + 0.3 * torch.randn(rows, 1, 6, 6, generator=seed(start + 1)), labels


TRAIN, TEST = stripes(64, 0), stripes(64, 5)


def test_the_encoder_that_is_given_is_unchanged_to_the_bit(encoder: ConvEncoder) -> None:
    encoder.requires_grad_(False).local.eval()
    before = copy.deepcopy(encoder)
    tuned = tune(encoder, TRAIN, TEST, from_scratch=True, random_state=0)
    assert all(map(torch.equal, before.state_dict().values(), encoder.state_dict().values()))
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert [part.training for part in encoder.modules()] == [part.training for part in before.modules()]
    assert not any(part._forward_hooks for part in encoder.modules())
    trained = tuned.classifier.taps.encoder.state_dict()
    assert not torch.equal(trained["local.conv1.conv.weight"], before.state_dict()["local.conv1.conv.weight"])
    assert torch.equal(trained["fc.fc1.linear.weight"], before.state_dict()["fc.fc1.linear.weight"])  # unused


def test_it_learns_and_says_what_the_classifier_does(encoder: ConvEncoder) -> None:
    tuned = tune(encoder, TRAIN, TEST, random_state=0)
    assert tuned.accuracy > 0.9
    assert tuned.from_scratch is None
    with torch.no_grad():
        predicted = tuned.classifier(TEST[0]).argmax(1)
    assert tuned.accuracy == (predicted == TEST[1]).double().mean().item()


def test_from_scratch_nothing_of_the_encoder_is_left(encoder: ConvEncoder) -> None:
    ruined = copy.deepcopy(encoder)
    for tensor in ruined.state_dict().values():
        tensor.fill_(torch.nan) if tensor.is_floating_point() else tensor.zero_()
    with pytest.raises(ValueError, match="classifier must give finite logits"):
        tune(ruined, TRAIN, TEST, random_state=0, epochs=1)
    other = copy.deepcopy(encoder)
    for tensor in other.state_dict().values():
        tensor.zero_()  # all images get the same features, even after training
    tuned = tune(other, TRAIN, TEST, from_scratch=True, random_state=0, epochs=8)
    assert tuned.from_scratch is not None
    assert tuned.from_scratch > 0.9
    assert tuned.accuracy < 0.7


def test_labels_of_the_test_set_are_not_seen(encoder: ConvEncoder) -> None:
    images = torch.randn(240, 1, 6, 6, generator=seed())
    labels = torch.arange(240) % 2
    train, test = (images[:120], labels[:120]), (images[120:], labels[120:])
    assert 0.3 < tune(encoder, train, test, random_state=0).accuracy < 0.7
    leaked = tune(encoder, (images, labels), test, random_state=0, epochs=40)
    assert leaked.accuracy > 0.75  # so the check above would detect a leak


def test_test_images_of_another_size(encoder: ConvEncoder) -> None:
    pixels = nn.Flatten()
    small = TEST[0][:, :, :5], TEST[1]
    with pytest.raises(ValueError, match="test must hold images of the size of train, got features of width 30 for 36"):
        fine_tune(pixels, TRAIN, small, layer="", epochs=1, random_state=0)
    pooled = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1))
    assert 0 <= fine_tune(pooled, TRAIN, small, layer="1", epochs=1, random_state=0).accuracy <= 1


def test_labels_of_any_integer_dtype(encoder: ConvEncoder) -> None:
    expected = tune(encoder, TRAIN, TEST, epochs=1, random_state=0).accuracy
    short = (TRAIN[0], TRAIN[1].to(torch.uint16)), (TEST[0], TEST[1].to(torch.uint16))
    assert tune(encoder, *short, epochs=1, random_state=0).accuracy == expected


def test_the_seed_decides(encoder: ConvEncoder) -> None:
    few = TRAIN[0][:20], TRAIN[1][:20]
    before = torch.get_rng_state()
    first = tune(encoder, few, TEST, random_state=1, epochs=2)
    assert torch.equal(torch.get_rng_state(), before)
    again = tune(encoder, few, TEST, random_state=1, epochs=2)
    assert all(map(torch.equal, first.classifier.state_dict().values(), again.classifier.state_dict().values()))


def test_bytes_transforms_and_augmentation(encoder: ConvEncoder) -> None:
    seen: list[int] = []

    def augment(images: Tensor) -> Tensor:
        assert images.dtype == torch.float32
        seen.append(len(images))
        return images + 0.01 * torch.randn_like(images)

    pixels = [((images.clamp(0, 1) * 255).byte(), labels) for images, labels in (TRAIN, TEST)]
    tuned = tune(encoder, *pixels, transform=lambda images: images.float() / 255, augment=augment, random_state=0)
    assert tuned.accuracy > 0.9
    assert sum(seen) == 6 * 64  # the test images are not augmented


def test_any_layer_of_any_module_and_progress() -> None:
    steps: list[str] = []
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 3))
    tuned = tune(
        network,
        TRAIN,
        TEST,
        layer="2",
        from_scratch=True,
        random_state=0,
        progress=lambda what, *_: steps.append(what),
    )
    assert tuned.accuracy > 0.9
    assert steps == ["fit"] * 6 + ["fit from scratch"] * 6


class TestBadInput:
    def test_no_pair_of_tensors(self, encoder: ConvEncoder) -> None:
        with pytest.raises(TypeError, match=r"train must be a pair of tensors \(images, labels\), got Tensor"):
            fine_tune(encoder, TRAIN[0], TEST)  # type: ignore[arg-type]

    def test_uint8(self, encoder: ConvEncoder) -> None:
        with pytest.raises(TypeError, match=r"images are torch.uint8"):
            fine_tune(encoder, (TRAIN[0].byte(), TRAIN[1]), TEST)

    def test_labels(self, encoder: ConvEncoder) -> None:
        with pytest.raises(ValueError, match="train must hold at least two classes, got only 0"):
            fine_tune(encoder, (TRAIN[0], torch.zeros_like(TRAIN[1])), TEST)
        with pytest.raises(ValueError, match="test labels must be at least 0, got -1"):
            fine_tune(encoder, TRAIN, (TEST[0], TEST[1] - 1))

    def test_weights_that_cannot_start_anew(self) -> None:
        class Shift(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.by = nn.Parameter(torch.zeros(36))

            def forward(self, images: Tensor) -> Tensor:
                return images.flatten(1) + self.by

        assert tune(Shift(), TRAIN, TEST, layer="").accuracy > 0.9
        with pytest.raises(ValueError, match=r"the encoder \(Shift\) has none; call fine_tune on an untrained"):
            tune(Shift(), TRAIN, TEST, layer="", from_scratch=True)


def test_a_device_that_is_none_is_refused_by_name() -> None:
    data = torch.rand(4, 3), torch.arange(4) % 2
    with pytest.raises(ValueError, match=r"device must be a torch.device or the name of one, got 'gpu'"):
        fine_tune(nn.Linear(3, 2), data, data, device="gpu")


def test_autocast_around_it_has_no_effect(encoder: ConvEncoder) -> None:
    expected = tune(encoder, TRAIN, TEST, random_state=0, epochs=2).accuracy
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert tune(encoder, TRAIN, TEST, random_state=0, epochs=2).accuracy == expected


def test_an_encoder_of_doubles(encoder: ConvEncoder) -> None:
    train, test = ((images.double(), labels) for images, labels in (TRAIN, TEST))
    assert 0 <= tune(encoder.double(), train, test, random_state=0, epochs=1).accuracy <= 1


@pytest.mark.filterwarnings("ignore")  # torch's old weight norm is deprecated
@pytest.mark.parametrize("wrap", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_weights_that_reset_parameters_does_not_reach_are_refused(wrap: Callable[[nn.Module], nn.Module]) -> None:
    """Such weights kept their trained values, and the result was reported as trained from scratch."""
    encoder = nn.Sequential(nn.Flatten(), wrap(nn.Linear(36, 4)))
    with torch.no_grad():
        encoder(TRAIN[0][:2])
    with pytest.raises(ValueError, match=r"from_scratch needs a reset_parameters.* 1 \(Linear\)"):
        tune(encoder, TRAIN, TEST, layer="1", from_scratch=True, epochs=1)
