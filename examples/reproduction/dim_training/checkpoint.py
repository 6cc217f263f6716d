"""Checkpoints with all that a run needs to continue exactly. The previous one is kept in case the last is damaged."""

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
    """Save ``state``, and keep the last checkpoint as the previous one; a crash at any point leaves a whole one."""
    save_sealed(folder.new, {"version": VERSION, **state})
    if folder.checkpoint.exists():
        folder.checkpoint.replace(folder.before)
    folder.new.replace(folder.checkpoint)


def read(folder: RunFolder) -> dict[str, Any]:
    """Return the newest checkpoint that is not damaged; print a message if a damaged one was passed over."""
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
            with contextlib.suppress(OSError):  # so that `write` does not keep it as the previous one
                folder.checkpoint.replace(folder.checkpoint.with_suffix(".damaged"))
        return state
    raise BadInput(f"{'; '.join(said)}: there is no other checkpoint: begin a new run with another --out")


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
    """Return the state of every random generator that training draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restore the generators to the state that `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
