"""`extract_features`: the features are right and in the right order, and the encoder is left unchanged."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from infomax.encoders import Conv, ConvEncoder
from infomax.evaluation import extract_features


@pytest.fixture
def encoder() -> ConvEncoder:
    encoder = ConvEncoder(
        local=[Conv(3, 3, 1, 1)], conv=[Conv(4, 4, 2, 1)], fc=[6], input_size=6, input_channels=1, global_dim=2
    )
    encoder(torch.rand(8, 1, 6, 6))  # so that the batch-norm statistics are not those of a new network
    return encoder


IMAGES, LABELS = torch.rand(11, 1, 6, 6), torch.arange(11) % 3


def state(module: nn.Module) -> list[object]:
    """Return everything in a module that an extraction might change."""
    tensors = [tensor.clone() for tensor in module.state_dict().values()]
    modes = [part.training for part in module.modules()]
    hooks = [len(part._forward_hooks) for part in module.modules()]
    gradients = [None if parameter.grad is None else parameter.grad.clone() for parameter in module.parameters()]
    return [tensors, modes, hooks, gradients]


def unchanged(before: list[object], after: list[object]) -> bool:
    def same(one: object, other: object) -> bool:
        if isinstance(one, Tensor) and isinstance(other, Tensor):
            return torch.equal(one, other)
        if isinstance(one, list) and isinstance(other, list):
            return len(one) == len(other) and all(map(same, one, other))
        return one is other or one == other

    return same(before, after)


@pytest.mark.parametrize("batch_size", [1, 4, 11, 100])
def test_features_are_those_of_a_forward_by_hand(encoder: ConvEncoder, batch_size: int) -> None:
    features, labels = extract_features(encoder, (IMAGES, LABELS), batch_size=batch_size)
    encoder.eval()
    with torch.no_grad():
        conv = encoder.conv(encoder.local(IMAGES))
        fc = encoder.fc(conv)
        expected = {"conv": conv.flatten(1), "fc": fc, "y": encoder.y(fc)}
    assert list(features) == list(expected)
    for layer, values in features.items():
        torch.testing.assert_close(values, expected[layer])
        assert not values.requires_grad
    assert labels is not None
    assert torch.equal(labels, LABELS)


def test_the_encoder_is_handed_back_untouched(encoder: ConvEncoder) -> None:
    encoder.train()
    encoder.local.eval()  # as a user freezes a part
    before = state(encoder)
    extract_features(encoder, (IMAGES, LABELS))
    assert unchanged(before, state(encoder))


def test_even_after_an_error(encoder: ConvEncoder) -> None:
    before = state(encoder)
    with pytest.raises(ValueError, match="images must have shape"):
        extract_features(encoder, torch.rand(2, 1, 5, 5))
    assert unchanged(before, state(encoder))


def test_the_comparison_notices_what_may_go_wrong(encoder: ConvEncoder) -> None:
    for change in (
        lambda part: part(IMAGES),  # changes batch-norm statistics
        lambda part: part.eval(),
        lambda part: part.y.register_forward_hook(lambda *_: None),
        lambda part: part.eval()(IMAGES).global_.sum().backward() or part.train(),
    ):
        part = copy.deepcopy(encoder)
        before = state(part)
        change(part)
        assert not unchanged(before, state(part))


class TestData:
    def test_images_without_labels(self, encoder: ConvEncoder) -> None:
        features, labels = extract_features(encoder, IMAGES, ["y"])
        assert labels is None
        assert features["y"].shape == (11, 2)

    def test_a_data_loader_gives_what_tensors_give(self, encoder: ConvEncoder) -> None:
        loader = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=4)
        ours, theirs = extract_features(encoder, loader), extract_features(encoder, (IMAGES, LABELS))
        torch.testing.assert_close(ours.features, theirs.features)
        torch.testing.assert_close(ours.labels, theirs.labels)

    def test_a_loader_of_images_alone(self, encoder: ConvEncoder) -> None:
        loader = DataLoader(TensorDataset(IMAGES), batch_size=4)
        features, labels = extract_features(encoder, loader, ["y"])
        assert labels is None
        torch.testing.assert_close(features["y"], extract_features(encoder, IMAGES, ["y"]).features["y"])

    def test_a_shuffled_loader_keeps_labels_with_their_images(self, encoder: ConvEncoder) -> None:
        loader = DataLoader(TensorDataset(IMAGES, torch.arange(11)), batch_size=4, shuffle=True)
        features, labels = extract_features(encoder, loader, ["y"])
        ordered, _ = extract_features(encoder, IMAGES, ["y"])
        torch.testing.assert_close(features["y"], ordered["y"][labels])

    def test_any_iterable_of_batches(self, encoder: ConvEncoder) -> None:
        def batches() -> Iterator[Tensor]:
            yield from IMAGES.split(5)

        steps: list[tuple[str, int, int | None]] = []
        extract_features(encoder, batches(), ["y"], progress=lambda *step: steps.append(step))
        assert steps == [("features", 1, None), ("features", 2, None), ("features", 3, None)]

    def test_uint8_images_with_the_transform_of_the_training(self, encoder: ConvEncoder) -> None:
        images = (IMAGES * 255).to(torch.uint8)
        ours = extract_features(encoder, images, ["y"], transform=lambda batch: batch.float() / 255)
        theirs = extract_features(encoder, images.float() / 255, ["y"])
        torch.testing.assert_close(ours.features, theirs.features)

    def test_layers_under_other_names_and_the_output_itself(self) -> None:
        features, _ = extract_features(nn.Flatten(), IMAGES, {"pixels": ""})
        torch.testing.assert_close(features["pixels"], IMAGES.flatten(1))

    def test_a_scalar_output_an_image_is_one_feature(self) -> None:
        features, _ = extract_features(nn.Flatten(0), torch.rand(7, 1), [""])
        assert features[""].shape == (7, 1)

    def test_half_precision_encoders_give_float32(self, encoder: ConvEncoder) -> None:
        features, _ = extract_features(encoder.bfloat16(), IMAGES.bfloat16(), ["y"])
        assert features["y"].dtype == torch.float32

    def test_progress_counts_batches(self, encoder: ConvEncoder) -> None:
        steps: list[tuple[str, int, int | None]] = []
        extract_features(encoder, IMAGES, ["y"], batch_size=6, progress=lambda *step: steps.append(step))
        assert steps == [("features", 1, 2), ("features", 2, 2)]


class Reader(nn.Module):
    """An encoder that takes a padded batch as those of Hugging Face do, and returns a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 4)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> dict[str, Tensor]:
        states = self.embed(input_ids)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return {"states": states, "mean": (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)}


class TestDicts:
    IDS, MASK = torch.randint(9, (11, 5)), (torch.arange(5) < torch.randint(1, 6, (11, 1))).long()

    def expected(self, reader: Reader) -> Tensor:
        return reader(self.IDS, self.MASK)["mean"].detach()

    @pytest.mark.parametrize("batch_size", [3, 100])
    def test_one_dict_is_cut_into_batches(self, batch_size: int) -> None:
        reader, steps = Reader(), []
        data = {"input_ids": self.IDS, "attention_mask": self.MASK, "labels": LABELS}
        features, labels = extract_features(
            reader, data, {"y": "[mean]"}, batch_size=batch_size, progress=lambda *step: steps.append(step)
        )
        torch.testing.assert_close(features["y"], self.expected(reader))
        assert labels is not None
        assert torch.equal(labels, LABELS)
        assert steps[-1][1] == steps[-1][2] == -(-11 // batch_size)

    def test_a_loader_of_dicts_with_another_key_and_a_transform(self) -> None:
        columns = {"input_ids": self.IDS + 1, "attention_mask": self.MASK, "y": LABELS}
        rows = [{name: column[row] for name, column in columns.items()} for row in range(11)]
        reader = Reader()
        features, labels = extract_features(
            reader,
            DataLoader(rows, batch_size=4),
            {"y": "[mean]"},
            label_key="y",
            transform=lambda batch: {**batch, "input_ids": batch["input_ids"] - 1},
        )
        torch.testing.assert_close(features["y"], self.expected(reader))
        assert labels is not None
        assert torch.equal(labels, LABELS)

    def test_without_labels_and_with_other_values(self) -> None:
        reader = Reader()
        data = {"input_ids": self.IDS, "attention_mask": None}
        features, labels = extract_features(reader, data, {"y": "[mean]"}, batch_size=4)
        assert labels is None
        torch.testing.assert_close(features["y"], reader(self.IDS)["mean"].detach())

    def test_a_width_that_differs_from_batch_to_batch(self) -> None:
        batches = [{"input_ids": self.IDS}, {"input_ids": self.IDS[:, :3]}]
        with pytest.raises(ValueError, match=r"rows of one width in all batches, got 12 and 20; .*pick one"):
            extract_features(Reader(), batches, {"y": "[states]"})


class TestBadInput:
    @pytest.mark.parametrize(
        ("data", "error", "message"),
        [
            ((IMAGES, LABELS[:-1]), ValueError, r"labels must have one entry per image, got labels of shape \(10,\)"),
            ((IMAGES, LABELS[:, None]), ValueError, "labels must have one entry per image"),
            ((IMAGES, LABELS.float()), TypeError, r"labels must be integer class numbers, got torch\.float32"),
            ([IMAGES, IMAGES[:5]], TypeError, r"a list of two tensors is read as \(images, labels\).*iter"),
            ((IMAGES * 255).to(torch.uint8), TypeError, "images are torch.uint8.* pass it as transform"),
            (IMAGES[:0], ValueError, "data must hold at least one example, got none"),
            ([], ValueError, "data must hold at least one example, got none"),
            (3, TypeError, "data must be images, a pair .* got int"),
            (TensorDataset(IMAGES, LABELS), TypeError, "got TensorDataset; wrap a data set in a DataLoader"),
            ([(IMAGES, [0] * 11)], TypeError, "got labels of type list; wrap a data set in a DataLoader"),
            ([{}], TypeError, "dicts that hold tensors, one row per example, got an empty one"),
            ({"images": "text"}, TypeError, r"got images \(str\)"),
            ([{"images": IMAGES, "mask": LABELS[:3]}], ValueError, r"got images \(11, 1, 6, 6\), mask \(3,\)"),
            ({"images": IMAGES, "labels": LABELS[:3]}, ValueError, r"got images \(11, 1, 6, 6\), labels \(3,\)"),
            ([{"images": IMAGES, "labels": [0] * 11}], TypeError, "got labels of type list"),
            ([{"images": IMAGES, "labels": LABELS.float()}], TypeError, "labels must be integer class numbers"),
            (
                [{"images": IMAGES, "labels": LABELS}, {"images": IMAGES}],
                ValueError,
                "labels in every batch or in none",
            ),
            ([(IMAGES, LABELS), IMAGES], ValueError, "labels in every batch or in none"),
            ([IMAGES, (IMAGES, LABELS)], ValueError, "labels in every batch or in none"),
        ],
    )
    def test_data(self, encoder: ConvEncoder, data: object, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            extract_features(encoder, data)  # type: ignore[arg-type]

    def test_an_unknown_layer(self, encoder: ConvEncoder) -> None:
        with pytest.raises(ValueError, match="no submodule 'fcc'; did you mean 'fc'"):
            extract_features(encoder, IMAGES, ["fcc"])

    def test_a_layer_that_mixes_images(self) -> None:
        with pytest.raises(ValueError, match=r"layer '' must give one row per image, got shape \(22,\) for 11 images"):
            extract_features(nn.Flatten(0), torch.rand(11, 2), [""])

    def test_batch_size(self, encoder: ConvEncoder) -> None:
        with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
            extract_features(encoder, IMAGES, batch_size=0)


def test_nothing_is_left_on_the_encoder_where_the_device_is_refused() -> None:
    encoder = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(ValueError, match="device must be") as held:
        extract_features(encoder, torch.rand(4, 4), ["0"], device="foo")
    assert held.value is not None
    assert not encoder[0]._forward_hooks


def test_buffers_that_are_written_in_evaluation_mode_are_put_back() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x

    encoder = nn.Sequential(Counting())
    extract_features(encoder, torch.rand(4, 4), ["0"], batch_size=2)
    assert encoder[0].calls == 0


@pytest.mark.parametrize("values", [list(range(4)), np.arange(4)])
def test_rows_that_are_no_tensor_are_not_handed_whole_to_each_batch(values: object) -> None:
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Identity()

        def forward(self, x: Tensor, w: object, scale: float) -> Tensor:
            return self.layer(x * scale)

    data = {"x": torch.rand(4, 2), "w": values, "scale": 2.0}
    with pytest.raises(TypeError, match=r"data\['w'\] must be a tensor where it holds a row per example"):
        extract_features(Weighted(), data, ["layer"], batch_size=2)
    found = extract_features(Weighted(), {**data, "w": "all"}, ["layer"], batch_size=2).features["layer"]
    assert torch.equal(found, 2 * data["x"])
