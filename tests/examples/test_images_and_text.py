"""The examples on images, text and volumes run, and end with a figure and a table of accuracies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

FASHION = Path("/usr/share/datasets/fashion-mnist")
BRAIN = Path("/usr/share/mricron/templates")
EXAMPLES = {
    "vision_resnet": ("timm", "labels alone", FASHION),
    "vision_vit": ("timm", "labels alone", None),
    "volumes": ("nibabel", "principal components", BRAIN),
    "text_tokens": ("sklearn", "TF-IDF", None),
    "huggingface_trainer": ("transformers", "labels alone", None),
}

pytestmark = pytest.mark.filterwarnings("default")  # the libraries warn

SLOW = ("vision_resnet", "huggingface_trainer", "text_tokens")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in EXAMPLES])
def test_smoke(name, run_example):
    package, peer, folder = EXAMPLES[name]
    pytest.importorskip(package)
    if folder and not folder.exists():
        pytest.skip(f"the data are not there: {folder}")
    said = run_example(name, "--smoke")
    raw = next(word for word in ("raw pixels", "raw voxels", "raw word counts") if word in said)
    for row in (raw, "untrained encoder", "trained encoder", peer):
        (line,) = (line for line in said.splitlines() if line.startswith(f"{row}  "))
        assert 0 <= float(line.removeprefix(row).split("±")[0]) <= 100


@pytest.mark.parametrize("name", [name for name, (_, _, folder) in EXAMPLES.items() if folder])
def test_missing_data_are_named(name, run_example, tmp_path):
    pytest.importorskip(EXAMPLES[name][0])
    with pytest.raises(SystemExit, match=r"\.gz is missing: .*--data"):
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


@pytest.mark.skipif(not BRAIN.exists(), reason=f"the data are not there: {BRAIN}")
class TestVolumes:
    @pytest.fixture(autouse=True)
    def scan(self):
        nibabel = pytest.importorskip("nibabel")
        return [np.asarray(nibabel.load(BRAIN / f"{name}.nii.gz").dataobj) for name in ("ch2bet", "aal")]

    def test_cubes_are_parts_of_the_scan_and_no_voxel_is_in_both_hemispheres(self, example, scan):
        script = example("volumes")
        voxels = scan[0][:180, :216, :180].reshape(90, 2, 108, 2, 90, 2).mean((1, 3, 5)) / scan[0].max()
        (left, _), (right, _) = script.hemispheres(BRAIN)
        assert left.shape == right.shape == (30, 93, 75, 1, 16, 16, 16)
        for x, y, z in ((0, 0, 0), (29, 92, 74), (11, 40, 20)):
            box = slice(y, y + 16), slice(z, z + 16)
            np.testing.assert_allclose(left[x, y, z, 0], voxels[x : x + 16][(slice(None), *box)], atol=1e-6)
            np.testing.assert_allclose(right[x, y, z, 0], voxels[74 - x : 90 - x][::-1][(slice(None), *box)], atol=1e-6)

    def test_the_region_is_that_of_the_centre(self, example, scan):
        script = example("volumes")
        codes = [line.split() for line in (BRAIN / "aal.nii.txt").read_text().split("\n") if line.strip()]
        code = {int(area): int(number[0]) - 2 for area, _, number in codes} | {0: -1}
        (_, left), (_, right) = script.hemispheres(BRAIN)
        for x, y, z in np.random.default_rng(0).integers(0, (30, 93, 75), (200, 3)):
            assert left[x, y, z] == code[scan[1][2 * x + 16, 2 * y + 16, 2 * z + 16]]
            assert right[x, y, z] == code[scan[1][178 - 2 * x - 16, 2 * y + 16, 2 * z + 16]]

    def test_every_draw_has_five_other_cubes_of_each_region(self, example):
        script = example("volumes")
        (_, region), _ = script.hemispheres(BRAIN)
        place, label = script.sample(region, script.LABELS * script.DRAWS)
        torch.testing.assert_close(region[tuple(place.T)], label)
        assert len(place.unique(dim=0)) == len(place)
        assert all(label[rows].bincount().tolist() == [script.LABELS] * 8 for rows in script.draws())
        assert torch.cat(script.draws()).sort().values.tolist() == list(range(len(label)))

    def test_a_second_cube_is_near(self, example):
        script = example("volumes")
        cubes = torch.cartesian_prod(*[torch.arange(20)] * 3).view(20, 20, 20, 3)  # each cube says where it is
        place = torch.randint(20, (500, 3))
        moved = script.near(place, 6, cubes)
        assert (moved - place).abs().max() == 6
        torch.testing.assert_close(script.near(place, 0, cubes), place)


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
