"""One run from its options to its report: load, train, probe, write down."""

import contextlib
import ctypes
import json
from pathlib import Path
from typing import Any

import torch

from . import checkpoint, figures, loop, report
from . import options as opts
from .data import Images, load
from .environment import environment
from .errors import BadInput
from .objective import Supervised, build_encoder, encoder_name
from .options import Options
from .probes import QuickProbes, few, nearest, own_accuracy, probe
from .run_folder import RunFolder, read_table


def conduct(options: Options, *, resume: bool) -> None:
    """Train (or go on training), then probe and report, unless that is done already."""
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
    done = json.loads(folder.results.read_text()) if folder.results.exists() else None
    if not done or done["training"]["steps"] != trainer.step:
        results = measure(trainer, folder)
        folder.results.write_text(json.dumps(results, indent=2) + "\n")
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


def measure(trainer: loop.Trainer, folder: RunFolder) -> dict[str, Any]:
    """Everything the report says, as plain values."""
    options, images, device = trainer.options, trainer.images, trainer.device
    rows = read_table(folder.metrics)
    last = rows[-1] if rows else {}
    numbers = {name: float(last[name]) for name in ("loss", "mi", "mi_ceiling", "accuracy") if last.get(name)}
    results: dict[str, Any] = {
        "options": vars(options),
        "environment": environment(device),
        "training": {
            "encoder": encoder_name(options, trainer.model.encoder.input_size[0]),
            "train_images": len(images.train.labels),
            "steps": trainer.step,
            "epochs": trainer.step / trainer.steps_an_epoch,
            "seconds": trainer.seconds,
            "images_per_second": trainer.step * options.batch / max(trainer.seconds, 1e-9),
            **numbers,
        },
        "probes": {},
    }
    if images.has_labels:
        results["probe"] = {
            "train_images": len(images.labelled.labels),
            "test_images": len(images.test.labels),
            "epochs": options.probe_epochs,
        }
        if isinstance(trainer.model, Supervised):
            results["training"]["test_accuracy"] = own_accuracy(trainer.model, trainer.encoder, images, options)
        results["probes"]["trained"] = probe(trainer.encoder, images, options, "trained encoder")
        if options.untrained:
            torch.manual_seed(options.seed)
            channels, side = images.train.pixels.shape[3], trainer.model.encoder.input_size[0]
            untrained = build_encoder(options, channels, side).to(device, memory_format=torch.channels_last)
            results["probes"]["untrained"] = probe(untrained, images, options, "untrained encoder")
    results["neighbours"] = neighbours(trainer.encoder, images, options, folder.figures / "neighbours.png")
    return results


def neighbours(encoder: torch.nn.Module, images: Images, options: Options, path: Path, k: int = 6) -> dict[str, Any]:
    """Draw a few queries with their nearest images, and count how often a neighbour has the query's class."""
    # At random: a folder of images comes sorted by class.
    pixels, labels = few(images.test, 2000, options.seed)
    if len(pixels) <= k:
        return {}
    queries = min(500, len(pixels))
    found = nearest(encoder, pixels, queries, k, options)
    first = [int((labels == label).nonzero()[0]) for label in labels.unique()[:8]] if images.has_labels else []
    shown = torch.tensor(first) if len(first) > 1 else torch.arange(8)
    shown = shown[shown < queries]
    picked = {
        {"y": "nearest in y", "pixels": "nearest in pixels"}[name]: indices[shown] for name, indices in found.items()
    }
    figures.neighbours(pixels, labels, shown, picked, path)
    if not images.has_labels:
        return {}
    same = {name: (labels[indices] == labels[:queries, None]).float().mean().item() for name, indices in found.items()}
    return {"k": k, "queries": queries, **same}


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
