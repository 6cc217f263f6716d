"""Checkpoints that are either whole or not there, and that hold all a run needs to go on as if never stopped."""

import os
from pathlib import Path
from typing import Any

import torch

from .errors import BadInput

VERSION = 1


def write(path: Path, state: dict[str, Any]) -> None:
    """Save ``state`` beside ``path``, then move it there in one step: a crash leaves the old file or the new one."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save({"version": VERSION, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read(path: Path) -> dict[str, Any]:
    """Load what `write` wrote: tensors and plain values only, so a checkpoint can run no code."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        version = state["version"]
    except Exception as error:  # torch raises many kinds for a damaged file
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"{path}: expected a checkpoint of train_dim.py; got: {said}") from error
    if version != VERSION:
        raise BadInput(f"{path}: expected a checkpoint of version {VERSION}; got version {version}")
    return state


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of every random generator that training draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put the generators back where `random_state` found them."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
