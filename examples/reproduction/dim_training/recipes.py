"""Named settings for ``--recipe``. An option given on the command line overrides the recipe."""

from pathlib import Path

import torch


def bf16_is_fast(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether training runs on a CPU with instructions for products in bfloat16, where ``--bf16`` saves time."""
    if torch.cuda.is_available():  # not measured there
        return False
    try:
        flags = cpuinfo.read_text().split()
    except OSError:  # not Linux
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


FAST = {
    # The settings with the best encoder in minutes on a CPU. docs/reproducing.md shows the effect of each line.
    "batch": 256,
    "lr": 3e-3,
    "weight_decay": 0.0,
    "beta2": 0.999,
    "warmup": 0.2,
    "schedule": "cosine",
    "units": 256,
    "scale": 0.0,
    "locations": 16,
    "views": 2,
    "pad": 4,
    "flip": True,
    "jitter": 0.4,
    "grey": 0.2,
    "alpha": 0.0,
    "beta": 1.0,
    "gamma": 0.0,
    "minutes": 20.0,
    "bf16": bf16_is_fast(),
}

PAPER = {
    # Hjelm et al. (2019): Adam at a constant 1e-4, batches of 64, no augmentation, DIM(L) with a uniform prior.
    "batch": 64,
    "lr": 1e-4,
    "weight_decay": 0.0,
    "beta2": 0.999,
    "warmup": 0.0,
    "schedule": "constant",
    "units": 2048,
    "scale": 1.0,
    "locations": 0,
    "alpha": 0.0,
    "beta": 1.0,
    "gamma": 0.1,
    "epochs": 1000.0,
    "minutes": 0.0,
}

TWO_MAPS = FAST | {
    # In the same minutes better than the fast recipe. docs/reproducing.md shows the effect of each line.
    "optimizer": "muon",
    "symmetric": True,
    "beta_conv": 4.0,
    "conv_global": "fc",
    "between_views": 1.0,
    "between_layer": "fc",
    "between_temperature": 0.5,
}

RECIPES = {"fast": FAST, "two-maps": TWO_MAPS, "paper": PAPER}
