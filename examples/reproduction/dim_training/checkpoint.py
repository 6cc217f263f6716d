"""Checkpoints that hold all a run needs to go on as if never stopped, and the one before, in case one is damaged."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import torch

from .errors import BadInput
from .files import load_sealed, save_sealed
from .run_folder import RunFolder

VERSION = 2
KEYS = ("options", "model", "average", "optimizer", "step", "seconds", "images", "ranks")


def write(folder: RunFolder, state: dict[str, Any]) -> None:
    """Save ``state``. The last checkpoint becomes the one before; a crash at any point leaves one that is whole."""
    save_sealed(folder.new, {"version": VERSION, **state})
    if folder.checkpoint.exists():
        folder.checkpoint.replace(folder.before)
    folder.new.replace(folder.checkpoint)


def read(folder: RunFolder) -> dict[str, Any]:
    """The last checkpoint; where it is damaged or missing, the one before, and a line that says so."""
    said = []
    for path in folder.checkpoints:
        try:
            state = _read(path)
        except BadInput as error:
            said.append(str(error))
            continue
        if said:
            print(
                f"train_dim: {'; '.join(said)}; going on from {path.name}, of step {state['step']:,}", file=sys.stderr
            )
            with contextlib.suppress(OSError):  # so that `write` does not take it for the one before
                folder.checkpoint.replace(folder.checkpoint.with_suffix(".damaged"))
        return state
    raise BadInput(f"{'; '.join(said)}: there is no other one, so begin a new run in another --out")


def _read(path: Path) -> dict[str, Any]:
    state = load_sealed(path)
    version = state.get("version") if isinstance(state, dict) else None
    if version != VERSION:
        raise BadInput(f"{path}: expected a checkpoint of version {VERSION}; got version {version}")
    missing = [key for key in KEYS if key not in state]
    if missing:
        raise BadInput(f"{path}: expected a whole checkpoint; it lacks {', '.join(missing)}")
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
