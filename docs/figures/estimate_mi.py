"""Draws ``estimate-mi.png`` and prints what the page on mutual information shows of an estimate."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import torch

from infomax import estimate_mi

mpl.use("Agg")


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 3, generator=generator)
    y = x[:, :2] + 0.5 * torch.randn(1000, 2, generator=generator)
    estimate = estimate_mi(x, y, random_state=0)
    print(estimate)
    print(repr(estimate))
    print(estimate_mi(x[:, 0], x[:, 0], random_state=0, max_steps=0))
    estimate.plot().figure.savefig(Path(__file__).with_name("estimate-mi.png"), dpi=110)


if __name__ == "__main__":
    main()
