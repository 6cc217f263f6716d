"""The state of a run, and its training step: weights, optimizer, averages, random generators, step and clock."""

import contextlib
import math
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from infomax import occlude

from . import checkpoint, optimizers
from .augment import Augment
from .data import Images
from .errors import BadInput
from .finite import Watch
from .models import build_model
from .objective import Batch, Step, build_encoder
from .options import Options
from .schedule import factor, set_rate
from .team import Team


class Trainer:
    """The state of a run, all of which ``state_dict`` returns and ``load_state_dict`` restores.

    Every process of the team must make the same calls.
    """

    def __init__(self, options: Options, images: Images, device: torch.device, team: Team | None = None) -> None:
        self.options, self.images, self.device = options, images, device
        self.team = team = team or Team()
        torch.manual_seed(options.seed)
        side, channels = options.crop or images.train.pixels.shape[1], images.train.pixels.shape[3]
        encoder = build_encoder(options, channels, side)
        self.model = build_model(options, encoder, images, team.size)
        self.model.to(device, memory_format=torch.channels_last)
        self.optimizer = optimizers.build(self.model, options, device)
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
        self.fingerprint = images.fingerprint()
        self.steps_an_epoch = len(images.train.pixels) // options.batch
        self.steps = round(options.epochs * self.steps_an_epoch) if not options.minutes else 0
        self.step = 0
        self.seconds = 0.0  # of training, without probes and reports
        self.before: dict[str, float] = {}  # what the run of --start-from did: steps, epochs, seconds
        self.sums: dict[str, Tensor] = {}  # over the steps since the last row of metrics.csv
        self.summed = 0  # the number of these steps
        self.watch = Watch(device)
        self._epoch = (-1, torch.empty(0))
        self._lap = time.perf_counter()
        if options.compile:
            self.model.compile()
        self.parallel = team.wrap(self.model, device)
        if team.rank:  # the first process keeps the random numbers of a run in one process
            torch.manual_seed(options.seed + 7_919 * team.rank)

    @property
    def encoder(self) -> nn.Module:
        """The encoder to keep: the averaged one, if there is an average."""
        return self.average.module if self.average else self.model.encoder

    @property
    def share(self) -> float:
        """The share of the run that is done, 0 to 1: of the minutes if they are given, else of the steps."""
        return self.share_at(self.step, self.seconds)

    def share_at(self, step: int, seconds: float) -> float:
        """Return the share of the run that is done at a step, after ``seconds`` of training."""
        limit = self.options.max_steps
        if limit and step >= limit:
            return 1.0
        if self.options.minutes:
            return min(1.0, seconds / (60 * self.options.minutes))
        return min(1.0, step / self.steps) if self.steps else 1.0

    def start_clock(self) -> None:
        """Restart the clock, so that the time since the last `lap` does not count as training."""
        self._lap = time.perf_counter()

    def lap(self) -> float:
        """Return the seconds of training since the last call."""
        before, self._lap = self._lap, time.perf_counter()
        return self._lap - before

    def order(self, epoch: int) -> Tensor:
        """Return the batches of an epoch, (steps, batch). They depend on seed and epoch only, so they are not saved.

        The epochs of an earlier run count, so that its order of images does not return.
        """
        epoch += math.ceil(self.before.get("epochs", 0))
        generator = torch.Generator().manual_seed(self.options.seed * 1_000_003 + epoch)
        shuffled = torch.randperm(len(self.labels), generator=generator)
        return shuffled[: self.steps_an_epoch * self.options.batch].view(self.steps_an_epoch, -1)

    def batch(self, step: int) -> Tensor:
        """Return the indices of the images that a step uses, over all processes."""
        epoch, position = divmod(step, self.steps_an_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self.order(epoch).to(self.device))
        return self._epoch[1][position]

    def train_step(self, index: Tensor) -> Step:
        """Take one step on the images at ``index``; every process takes its share of them."""
        options = self.options
        index = self.team.share(index)
        set_rate(self.optimizer, options.lr * factor(self.share, options.warmup, options.schedule))
        images, other = self.augment(index), None
        if options.objective == "dim" and (options.views == 2 or options.occlusion):
            other = self.augment(index) if options.views == 2 else images
            other = occlude(other, options.occlusion) if options.occlusion else other
        with self.precision():
            result = self.parallel(Batch(images, other, self.labels[index], index))
        self.watch.see(self.step, result)
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()
        self.optimizer.step()
        if self.average:
            self.average.update_parameters(self.model.encoder)
        for name, value in (("loss", result.loss.detach()), *result.parts.items()):
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.summed += 1
        self.step += 1
        return result

    def means(self) -> dict[str, float]:
        """Return the means of the loss and its parts since the last call, over all processes."""
        means = self.team.mean(torch.stack(list(self.sums.values())) / self.summed)
        found = dict(zip(self.sums, means.tolist(), strict=True))
        self.sums, self.summed = {}, 0
        return found

    def diverged(self) -> str:
        """Return what was not finite and in which batch, or an empty text. The call waits for the device."""
        step = int(self.watch.step)
        if step < 0:
            return ""
        epoch, position = divmod(step, self.steps_an_epoch)
        index = self.batch(step).tolist()
        return (
            f"training diverged: the loss of step {step + 1} is not finite; {self.watch.cause()}. It was batch "
            f"{position + 1} of epoch {epoch + 1}, training images {', '.join(map(str, index[:6]))}"
            + (", ..." if len(index) > 6 else "")
        )

    def precision(self) -> contextlib.AbstractContextManager:
        """Return a context that autocasts to bfloat16 with ``--bf16``, or that does nothing."""
        if self.options.bf16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a run needs to continue."""
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            raise BadInput(
                f"training diverged: weights are not finite after step {self.step}, though its loss was: the last "
                "checkpoint is kept; try a lower --lr"
            )
        return {
            "options": vars(self.options),
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "before": self.before,
            "images": self.fingerprint,
            "ranks": self.team.of_all(
                {"random": checkpoint.random_state(self.device), "sums": self.sums, "summed": self.summed}
            ),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""
        if state["images"] != self.fingerprint:
            raise BadInput(
                f"--resume: expected the images the run was begun with ({state['images']}); "
                f"got others ({self.fingerprint}): check --root"
            )
        self.step, self.seconds, self.before = state["step"], state["seconds"], state.get("before", {})
        ranks = len(state["ranks"])
        if ranks != self.team.size and self.share < 1:
            raise BadInput(
                f"--resume: expected as many processes as the run was begun with ({ranks}), so that it goes on as if "
                f"never stopped; got {self.team.size}: " + (f"torchrun --nproc-per-node {ranks}" if ranks > 1 else "")
            )
        own = state["ranks"][min(self.team.rank, ranks - 1)]
        try:
            self.model.load_state_dict(state["model"])
            if self.average:
                self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.sums = {name: value.to(self.device) for name, value in own["sums"].items()}
            self.summed = own["summed"]
            checkpoint.set_random_state(own["random"], self.device)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BadInput(f"--resume: expected a checkpoint of this model; got: {said}") from error

    def start_from(self, state: dict[str, Any]) -> None:
        """Take weights and random numbers from the state of an earlier run; step, clock and optimizer begin anew."""
        done, images = state.get("before", {}), state["step"] * state["options"]["batch"]
        try:
            self.model.load_state_dict(state["model"])
            if self.team.rank < len(state["ranks"]):  # a process more keeps its own random numbers
                checkpoint.set_random_state(state["ranks"][self.team.rank]["random"], self.device)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            said = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
            raise BadInput(
                "--start-from: expected a run of the same model, with the same --encoder, --objective and critics; "
                f"got: {' '.join(said[:2])}"
            ) from error
        if self.average:
            self.average.module.load_state_dict(self.model.encoder.state_dict())
        self.before = {
            "steps": done.get("steps", 0) + state["step"],
            "epochs": done.get("epochs", 0) + images / (self.steps_an_epoch * self.options.batch),
            "seconds": done.get("seconds", 0) + state["seconds"],
        }
