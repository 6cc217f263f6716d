"""A run that is begun, gone on with or only read, whichever its folder calls for."""

import json
from dataclasses import asdict, fields
from typing import Any

from . import options as opts
from .options import Options
from .run_folder import RunFolder
from .session import conduct

LENGTH = ("epochs", "minutes", "max_steps")


def carry_out(options: Options) -> dict[str, Any]:
    """The results of the run that ``options`` describe: made now, as far as they are not there already.

    A run whose rate is constant does not know how long it will be: it may be gone on with to another length.
    """
    folder = RunFolder(options.out)
    if folder.results.exists():
        results = json.loads(folder.results.read_text())
        measured = set(opts.requested(options)) <= set(results["taken"])
        if measured and _decisive(results["options"]) == _decisive(options):
            return results
    resume = folder.checkpoint.exists()
    if resume:
        saved = json.loads(folder.config.read_text())
        if options.schedule == "constant" and not options.warmup:
            saved |= {name: getattr(options, name) for name in LENGTH}
        options = opts.resume(asdict(options), saved, folder.path)
    else:
        folder.config.unlink(missing_ok=True)  # of a call that was stopped before its first checkpoint
        folder.begin()
    conduct(options, resume=resume)
    return json.loads(folder.results.read_text())


def _decisive(options: Options | dict[str, Any]) -> dict[str, Any]:
    values = options if isinstance(options, dict) else asdict(options)
    return {f.name: values.get(f.name, f.default) for f in fields(Options) if not f.metadata["free"]}
