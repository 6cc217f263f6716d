"""One run from its options to its report: load, train, measure, write."""

import contextlib
import ctypes
import io
from dataclasses import asdict
from typing import Any

import torch

from . import checkpoint, earlier, files, loop, measures, report
from .card import card
from .data import load
from .errors import BadInput
from .memory import within_memory
from .options import Options
from .outcome import measure, read_results
from .run_folder import RunFolder
from .settle import settle
from .team import Team
from .trainer import Trainer


def conduct(options: Options, team: Team, state: dict[str, Any] | None = None, *, shrink: bool = False) -> None:
    """Train, measure and report, except for what is done already. The caller holds the lock of the folder.

    Args:
        options: options of the run.
        team: the processes that train it.
        state: checkpoint to continue from; None begins a new run.
        shrink: whether a batch larger than the data may shrink.
    """
    with within_memory(options):
        _conduct(options, team, state, shrink=shrink)


def _conduct(options: Options, team: Team, state: dict[str, Any] | None, *, shrink: bool) -> None:
    measures.check(options)
    device = team.together(lambda: prepare(options, team))
    images = team.in_turn(lambda: load(options))
    settled = team.together(lambda: settle(options, images, processes=team.size, shrink=shrink))
    if settled.batch != options.batch:
        team.say(f"--batch {settled.batch} instead of {options.batch}: there are {len(images.train.pixels)} images")
    trainer = team.together(lambda: Trainer(settled, images, device, team))
    options = settled
    if len(set(team.of_all(trainer.fingerprint))) > 1:
        raise BadInput("--root: expected the same images in every process; they differ")
    if len(set(team.of_all(options.bf16))) > 1:  # recipes choose it by the processor
        raise BadInput("--bf16: expected the same in every process; their processors differ: pass --bf16 or --no-bf16")
    folder = RunFolder(options.out)
    team.say(
        f"{report.name_of(vars(options))} on {options.data}: {len(images.train.labels):,} images, run in {folder.path}"
    )
    if options.bf16:
        team.say("the step runs in bfloat16; --no-bf16 trains in float32")
    if state:
        team.together(lambda: trainer.load_state_dict(state))
    elif options.start_from:
        team.together(lambda: earlier.start_from(trainer, options.start_from))
    first = None if state else trainer.state_dict()

    def begin() -> None:
        files.write_json(folder.config, asdict(options))
        if first:
            checkpoint.write(folder, first)

    team.from_first(begin)
    loop.run(trainer, folder)
    team.leave()
    if team.rank == 0:
        keep(trainer, folder)
        measure(trainer, folder)
        publish(folder)


def keep(trainer: Trainer, folder: RunFolder) -> None:
    """Write the encoder alone, as a plain state dict, and encoder.json, which describes it."""
    buffer = io.BytesIO()
    torch.save({k: v.cpu() for k, v in trainer.encoder.state_dict().items()}, buffer)
    weights = buffer.getvalue()
    files.write_bytes(folder.encoder, weights)
    channels, side = trainer.images.train.pixels.shape[3], trainer.model.encoder.input_size[0]
    files.write_json(folder.card, card(trainer.options, channels, side, weights))


def prepare(options: Options, team: Team) -> torch.device:
    """Return the device to train on, after setting torch's global options for speed."""
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_memory()
    torch.set_flush_denormal(True)  # denormal numbers are slow, and nothing here needs them
    torch.set_float32_matmul_precision("high")
    name = options.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if team.size > 1 and name not in ("cpu", "cuda"):
        raise BadInput(f"--device {name}: expected cpu or cuda with several processes, each of which takes its own GPU")
    try:
        device = torch.device(name)
        if team.size > 1 and name == "cuda":
            device = torch.device("cuda", torch.cuda.current_device())
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadInput(
            f"--device {name}: expected a device of this machine; got: {str(error).splitlines()[0]}"
        ) from error
    return device


def keep_memory() -> None:
    """Let glibc keep freed memory: returning it and page-faulting it in again costs a third of a step."""
    mmap_max, trim_threshold, top_pad = -4, -1, -2
    with contextlib.suppress(OSError, AttributeError):  # other C libraries have no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)


def publish(folder: RunFolder) -> None:
    """Write the report, with the row of the supervised run if there is one."""
    results = files.read_json(folder.results)
    with_labels = read_results(RunFolder(folder.path / "supervised"))
    if with_labels:
        results["probes"]["supervised"] = with_labels["probes"].get("trained")
    report.write(folder, results)
    for name, row in report.accuracy_table(results).items():
        print(f"  {name:<16}" + "   ".join(f"{layer} {accuracy:5.2f}" for layer, accuracy in row.items()))
    print(f"  report: {folder.path / 'report.html'}")
