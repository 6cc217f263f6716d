"""One run from its options to its report: load, train, probe, write down."""

import contextlib
import ctypes
import json
from pathlib import Path
from typing import Any

import torch

from . import checkpoint, loop, measures, report
from . import options as opts
from .data import load
from .errors import BadInput
from .options import Options
from .outcome import measure
from .probes import QuickProbes
from .run_folder import RunFolder


def conduct(options: Options, *, resume: bool) -> None:
    """Train (or go on training), then probe and report, unless that is done already."""
    measures.check(options)
    device = prepare(options)
    images = load(options)
    trainer = loop.Trainer(options, images, device)
    folder = RunFolder(options.out)
    folder.path.mkdir(parents=True, exist_ok=True)
    opts.save(options, folder.config)
    print(
        f"{report.name_of(vars(options))} on {options.data}: {len(images.train.labels):,} images, run in {folder.path}"
    )
    if resume:
        trainer.load_state_dict(checkpoint.read(folder.checkpoint))
    else:
        checkpoint.write(folder.checkpoint, trainer.state_dict())
    writer = _tensorboard(folder.events, trainer.step)
    try:
        loop.run(trainer, folder, QuickProbes(options, images, folder, writer), writer)
    finally:
        if writer:
            writer.close()
    partial = folder.encoder.with_name("encoder.pt.partial")
    torch.save({k: v.cpu() for k, v in trainer.encoder.state_dict().items()}, partial)
    partial.replace(folder.encoder)
    measure(trainer, folder)
    publish(folder)


def prepare(options: Options) -> torch.device:
    """The device to train on, with what makes it fast."""
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_memory()
    torch.set_flush_denormal(True)  # values too small for a normal float are slow, and nothing here needs them
    torch.set_float32_matmul_precision("high")
    name = options.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadInput(
            f"--device {name}: expected a device of this machine; got: {str(error).splitlines()[0]}"
        ) from error
    return device


def keep_memory() -> None:
    """Let glibc keep what tensors free: handing it back and page-faulting it in again costs a third of a step."""
    mmap_max, trim_threshold, top_pad = -4, -1, -2
    with contextlib.suppress(OSError, AttributeError):  # another C library has no mallopt, and other habits
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)


def publish(folder: RunFolder) -> None:
    """Write the report, with the row of the supervised run where there is one."""
    results = json.loads(folder.results.read_text())
    with_labels = RunFolder(folder.path / "supervised").results
    if with_labels.exists():
        results["probes"]["supervised"] = json.loads(with_labels.read_text())["probes"].get("trained")
    report.write(folder, results)
    for name, row in report.accuracy_table(results).items():
        print(f"  {name:<16}" + "   ".join(f"{layer} {accuracy:5.2f}" for layer, accuracy in row.items()))
    print(f"  report: {folder.path / 'report.html'}")


def _tensorboard(path: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("  (no TensorBoard events: the package is not installed)")
        return None
    return SummaryWriter(str(path), purge_step=step + 1)
