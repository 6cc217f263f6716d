"""Runs that are begun, continued or only read, depending on what their folder contains."""

import os
import sys
from dataclasses import asdict, fields
from typing import Any

from . import checkpoint, resolving
from .errors import BadInput
from .files import read_json
from .lock import locked
from .measures import is_taken
from .options import Options, flag_of, requested
from .outcome import read_results
from .run_folder import RunFolder
from .session import conduct
from .team import Team

LENGTH = ("epochs", "minutes", "max_steps")


def saved(folder: RunFolder, state: dict[str, Any] | None) -> dict[str, Any]:
    """Return the options of a run, from config.json; those that decide the training must be those of the checkpoint.

    The checkpoint has a checksum and config.json has none, so the checkpoint is right where the two differ.
    """
    try:
        options = _every_option(folder)
    except BadInput as error:
        if state is None:
            raise BadInput(f"{error}; nothing was trained yet: begin anew, without --resume") from error
        print(f"train_dim: {error}; the settings are those of the checkpoint", file=sys.stderr)
        return state["options"]
    if state is None:
        return options
    kept = state["options"]
    decisive = {f.name for f in fields(Options) if not f.metadata["free"]} & kept.keys()
    decisive -= set(LENGTH) if _has_any_length(kept) else {"max_steps"}  # they decide when a run ends, and no step
    changed = sorted(flag_of(name) for name in decisive if options[name] != kept[name])
    if changed:
        print(
            f"train_dim: {folder.config}: {', '.join(changed)} differ from the checkpoint; the settings are those of "
            "the checkpoint",
            file=sys.stderr,
        )
    return {**options, **{name: kept[name] for name in decisive}}


def _has_any_length(options: dict[str, Any]) -> bool:
    """Return whether the run may be continued to another length, because its learning rate is constant."""
    return options["schedule"] == "constant" and not options["warmup"]


def _every_option(folder: RunFolder) -> dict[str, Any]:
    options = read_json(folder.config)
    missing = [f.name for f in fields(Options) if f.name not in options]
    if missing:
        raise BadInput(f"{folder.config}: expected every option of a run; it lacks {', '.join(missing)}")
    return options


def carry_out(options: Options) -> dict[str, Any]:
    """Return the results of the run that ``options`` describe, after doing the parts that are not done yet.

    With a constant learning rate, a run does not depend on its length, so it may be continued to another length.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise BadInput("torchrun: expected a single run, that of train_dim.py; this script makes several, one by one")
    folder = RunFolder(options.out)
    with locked(folder.path):
        results = _finished(folder, options)
        if results:
            return results
        state = None
        if folder.trained:
            state = checkpoint.read(folder)
            before = saved(folder, state)
            if _has_any_length(asdict(options)):
                before |= {name: getattr(options, name) for name in LENGTH}
            options = resolving.resume(asdict(options), before, folder.path)
        else:
            folder.begin()
        conduct(options, Team(), state)
        return read_json(folder.results)


def _finished(folder: RunFolder, options: Options) -> dict[str, Any] | None:
    """Return the saved results if they contain all that ``options`` ask for; None if not, or if they are damaged."""
    results = read_results(folder)
    if not results or not all(is_taken(name, options, results["taken"]) for name in requested(options)):
        return None
    ran = results["options"]
    decisive = [f for f in fields(Options) if not f.metadata["free"]]
    same = all(resolving.same(f.name, getattr(options, f.name), ran.get(f.name, f.default)) for f in decisive)
    return results if same else None
