"""The examples on images, text and volumes run, and end with a figure and a table of accuracies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

FASHION = Path("/usr/share/datasets/fashion-mnist")
EXAMPLES = {
    "vision_resnet": ("timm", "labels alone", True),
    "vision_vit": ("timm", "labels alone", False),
    "volumes": ("sklearn", "principal components", True),
    "text_tokens": ("sklearn", "TF-IDF", False),
    "huggingface_trainer": ("transformers", "labels alone", False),
}

pytestmark = pytest.mark.filterwarnings("default")  # the libraries warn

SLOW = ("vision_resnet", "huggingface_trainer", "text_tokens")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in EXAMPLES])
def test_smoke(name, run_example):
    package, peer, fashion = EXAMPLES[name]
    pytest.importorskip(package)
    if fashion and not FASHION.exists():
        pytest.skip(f"the images are not there: {FASHION}")
    said = run_example(name, "--smoke")
    raw = next(word for word in ("raw pixels", "raw voxels", "raw word counts") if word in said)
    for row in (raw, "untrained encoder", "trained encoder", peer):
        (line,) = (line for line in said.splitlines() if line.startswith(f"{row}  "))
        assert 0 <= float(line.removeprefix(row).split("±")[0]) <= 100


@pytest.mark.parametrize("name", [name for name, (_, _, fashion) in EXAMPLES.items() if fashion])
def test_missing_images_are_named(name, run_example, tmp_path):
    pytest.importorskip(EXAMPLES[name][0])
    with pytest.raises(SystemExit, match=r"idx3-ubyte.gz is missing: .*--data"):
        run_example(name, "--data", tmp_path)


def test_prefix_tokens_of_the_vit_are_no_locations(example, monkeypatch):
    pytest.importorskip("timm")
    script = example("vision_vit")
    encoder, seen = script.build(), []
    assert encoder.num_prefix_tokens == 5
    build = script.LocalDIMLoss.from_features

    def spy(features, images, **options):
        seen.append(features(images))
        return build(features, images, **options)

    monkeypatch.setattr(script.LocalDIMLoss, "from_features", spy)
    script.fit(encoder, torch.rand(8, 1, 8, 8), 2, size=4)
    assert tuple(seen[0].local.shape[1:]) == (64, 16)


@pytest.mark.skipif(not FASHION.exists(), reason=f"the images are not there: {FASHION}")
def test_a_volume_is_a_stack_of_pictures_of_one_class(example):
    script = example("volumes")
    volumes, label = script.stacks(FASHION, "t10k", 20)
    assert tuple(volumes.shape) == (20, 1, 8, 14, 14)
    assert label.tolist() == sorted([*range(10), *range(10)])
    slices = volumes.flatten(0, 2).flatten(1)
    assert len(np.unique(slices.numpy(), axis=0)) == len(slices)


def test_texts_come_without_the_name_of_their_package(example):
    import random

    script = example("text_tokens")
    texts = script.docstrings("matplotlib", 20, random.Random(0))
    assert len(texts) == 20
    assert all(12 <= len(text) <= script.LENGTH and "matplotlib" not in text for text in texts)


def test_padding_does_not_move_the_vector_of_a_text(example):
    script = example("text_tokens")
    encoder = script.Encoder(30).eval()
    ids = torch.randint(1, 30, (3, 9))
    padded = torch.cat([ids, torch.zeros(3, 4, dtype=torch.long)], 1)
    with torch.no_grad():
        torch.testing.assert_close(encoder(ids), encoder(padded), atol=1e-5, rtol=1e-5)
