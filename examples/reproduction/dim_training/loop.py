"""The training loop: one step after the other, written down, kept safe, and picked up where it stopped."""

import contextlib
import math
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from infomax import occlude

from . import checkpoint
from .augment import Augment
from .data import Images
from .errors import BadInput
from .models import build_model
from .objective import Batch, Step, build_encoder
from .options import Options
from .probes import QuickProbes
from .run_folder import RunFolder, Table
from .schedule import factor, set_rate


class Interrupted(Exception):  # noqa: N818
    """Training was asked to stop; a checkpoint has been written."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number


class Trainer:
    """All that changes while a run goes on. ``state_dict`` holds every bit of it, ``load_state_dict`` puts it back."""

    def __init__(self, options: Options, images: Images, device: torch.device) -> None:
        self.options, self.images, self.device = options, images, device
        torch.manual_seed(options.seed)
        side, channels = options.crop or images.train.pixels.shape[1], images.train.pixels.shape[3]
        encoder = build_encoder(options, channels, side)
        self.model = build_model(options, encoder, images)
        self.model.to(device, memory_format=torch.channels_last)
        self.optimizer = _optimizer(self.model, options, device)
        self.average = None
        if options.ema:
            self.average = AveragedModel(encoder, multi_avg_fn=get_ema_multi_avg_fn(options.ema), use_buffers=True)
        self.augment = Augment(
            images.train.pixels.to(device),
            crop=options.crop,
            shift=options.pad,
            flip=options.flip,
            area=options.area,
            jitter=options.jitter,
            grey=options.grey,
        )
        self.labels = images.train.labels.to(device)
        self.steps_an_epoch = len(images.train.pixels) // options.batch
        self.steps = round(options.epochs * self.steps_an_epoch) if not options.minutes else 0
        self.step = 0
        self.seconds = 0.0  # of training: probes and reports are not counted
        self.sums: dict[str, Tensor] = {}  # of the steps since the last row of metrics.csv
        self._lap = time.perf_counter()
        if options.compile:
            self.model.compile()

    @property
    def encoder(self) -> nn.Module:
        """The encoder to keep: the averaged one where there is an average."""
        return self.average.module if self.average else self.model.encoder

    @property
    def share(self) -> float:
        """How much of the run is behind us, 0 to 1: of the minutes if they were given, else of the steps."""
        return self.share_at(self.step, self.seconds)

    def share_at(self, step: int, seconds: float) -> float:
        """How much of the run was behind us at a step, after so many seconds of training."""
        limit = self.options.max_steps
        if limit and step >= limit:
            return 1.0
        if self.options.minutes:
            return min(1.0, seconds / (60 * self.options.minutes))
        return min(1.0, step / self.steps) if self.steps else 1.0

    def start_clock(self) -> None:
        """Forget the time since the last `tick`: it was not training."""
        self._lap = time.perf_counter()

    def tick(self) -> None:
        """Count the time since the last `tick` as training."""
        now = time.perf_counter()
        self.seconds += now - self._lap
        self._lap = now

    def order(self, epoch: int) -> Tensor:
        """The batches of an epoch, (steps, batch): a function of seed and epoch, so nothing of it need be saved."""
        generator = torch.Generator().manual_seed(self.options.seed * 1_000_003 + epoch)
        shuffled = torch.randperm(len(self.labels), generator=generator)
        return shuffled[: self.steps_an_epoch * self.options.batch].view(self.steps_an_epoch, -1).to(self.device)

    def train_step(self, index: Tensor) -> Step:
        """One step on the images at ``index``."""
        options = self.options
        set_rate(self.optimizer, options.lr * factor(self.share, options.warmup, options.schedule))
        images, other = self.augment(index), None
        if options.objective == "dim" and (options.views == 2 or options.occlusion):
            other = self.augment(index) if options.views == 2 else images
            other = occlude(other, options.occlusion) if options.occlusion else other
        with self.precision():
            result = self.model(Batch(images, other, self.labels[index], index))
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()
        self.optimizer.step()
        if self.average:
            self.average.update_parameters(self.model.encoder)
        for name, value in (("loss", result.loss.detach()), *result.parts.items()):
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.step += 1
        return result

    def precision(self) -> contextlib.AbstractContextManager:
        """Autocast to bfloat16 if asked."""
        if self.options.bf16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """Everything a run needs to go on."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "sums": self.sums,
            "random": checkpoint.random_state(self.device),
            "images": self.images.fingerprint,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        if state["images"] != self.images.fingerprint:
            raise BadInput(
                f"--resume: expected the images the run was begun with ({state['images']}); "
                f"got others ({self.images.fingerprint}): check --root"
            )
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.sums = {name: value.to(self.device) for name, value in state["sums"].items()}
        checkpoint.set_random_state(state["random"], self.device)


def run(trainer: Trainer, folder: RunFolder, probes: QuickProbes, writer: Any) -> None:
    """Train from where the trainer is to the end of the run, or raise `Interrupted` with a checkpoint written."""
    columns = ("step", "epoch", "seconds", "lr", "loss", *trainer.model.columns, "images_per_second")
    log = Log(trainer, Table(folder.metrics, columns, trainer.step), writer)
    probes.begin(trainer.step)
    with _watch_signals() as caught, contextlib.closing(log):
        while True:
            epoch, position = divmod(trainer.step, trainer.steps_an_epoch)
            trainer.model.train()
            trainer.start_clock()
            for index in trainer.order(epoch)[position:]:
                if trainer.share >= 1 or caught:
                    break
                if probes.due(trainer):
                    probes.take(trainer)
                    trainer.start_clock()
                result = trainer.train_step(index)
                if trainer.step % trainer.options.log_every == 0:
                    log.row(result)
                trainer.tick()
                log.advance()
                every = trainer.options.checkpoint_every
                if every and trainer.step % every == 0:
                    checkpoint.write(folder.checkpoint, trainer.state_dict())
            checkpoint.write(folder.checkpoint, trainer.state_dict())
            if caught:
                raise Interrupted(caught[0])
            if trainer.share >= 1:
                if probes.due(trainer):
                    probes.take(trainer)
                return


class Log:
    """The progress bar, ``metrics.csv`` and TensorBoard. Between two rows nothing waits for the device."""

    def __init__(self, trainer: Trainer, table: Table, writer: Any) -> None:
        self.trainer, self.table, self.writer = trainer, table, writer
        self.last = (trainer.step, trainer.seconds)
        by_time = bool(trainer.options.minutes)
        self.bar = tqdm(
            total=round(60 * trainer.options.minutes) if by_time else trainer.steps,
            initial=round(trainer.seconds) if by_time else trainer.step,
            desc="training",
            unit="s" if by_time else "steps",
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total} {unit}, {remaining} left{postfix}",
            mininterval=0.5 if sys.stderr.isatty() else 30,
        )

    def close(self) -> None:
        """Let go of the bar."""
        self.bar.close()

    def advance(self) -> None:
        """Move the bar to where training is."""
        now = self.trainer.seconds if self.trainer.options.minutes else self.trainer.step
        self.bar.update(min(now, self.bar.total) - self.bar.n)

    def row(self, result: Step) -> None:
        """Write down the means since the last row, and the MI on the last batch."""
        trainer = self.trainer
        steps = trainer.step % trainer.options.log_every or trainer.options.log_every
        row = {name: (total / steps).item() for name, total in trainer.sums.items()}
        trainer.sums = {}
        if result.features is not None:
            with trainer.precision():
                row |= trainer.model.information(result.features)
        trainer.tick()
        (step, seconds), self.last = self.last, (trainer.step, trainer.seconds)
        images = (trainer.step - step) * trainer.options.batch
        row["images_per_second"] = round(images / max(trainer.seconds - seconds, 1e-9), 1)
        rate = trainer.optimizer.param_groups[0]["lr"]
        epoch = trainer.step / trainer.steps_an_epoch
        row |= {"step": trainer.step, "epoch": round(epoch, 4), "seconds": round(trainer.seconds, 2), "lr": rate}
        if not math.isfinite(row["loss"]):
            raise BadInput(
                f"training diverged: the loss is {row['loss']} at step {trainer.step}; the checkpoint before it is "
                "kept: try a lower --lr, a longer --warmup, or another --estimator"
            )
        self.table.add(**row)
        self.bar.set_postfix_str(_summary(row), refresh=False)
        if self.writer:
            for name, value in row.items():
                if name != "step":
                    self.writer.add_scalar(f"train/{name}", value, trainer.step)


def _summary(row: dict[str, float]) -> str:
    shown = [f"loss {row['loss']:.4f}"]
    if "mi" in row:
        shown.append(f"MI {row['mi']:.2f}" + (f"/{row['mi_ceiling']:.2f}" if "mi_ceiling" in row else "") + " nats")
    if "accuracy" in row:
        shown.append(f"accuracy {row['accuracy']:.1%}")
    return ", ".join([*shown, f"{row['images_per_second']:.0f} images/s"])


def _optimizer(model: nn.Module, options: Options, device: torch.device) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices and kernels only; one fused kernel where the device has it."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, options.lr, betas=(0.9, options.beta2), fused=fused)


@contextlib.contextmanager
def _watch_signals() -> Iterator[list[int]]:
    """Collect the first SIGINT or SIGTERM, so that the step in hand is finished; a second one acts at once."""
    caught: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _: object) -> None:
        caught.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
