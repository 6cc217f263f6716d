"""The training loop, with log, checkpoints, quick probes, and continuation of a stopped run."""

import contextlib

from . import checkpoint
from .errors import BadInput
from .log import Events, Log, found
from .probes import QuickProbes
from .run_folder import RunFolder
from .signals import Interrupted, watched
from .team import Stopped
from .trainer import Trainer


def run(trainer: Trainer, folder: RunFolder) -> None:
    """Train from the trainer's current step to the end of the run; after a signal, save and raise `Interrupted`.

    Between two steps, the processes agree on what to do next. Only the first process writes files.
    """
    team, options = trainer.team, trainer.options
    with contextlib.ExitStack() as stack:
        caught = stack.enter_context(watched(once=team.size == 1))
        log = probes = None
        if team.rank == 0:
            events = stack.enter_context(contextlib.closing(Events(folder.events, trainer.step)))
            log = stack.enter_context(contextlib.closing(Log(trainer, folder, events)))
            probes = QuickProbes(options, trainer.images, folder, events, trainer.step)
        trainer.model.train()
        trainer.start_clock()
        result, saved = None, trainer.step
        while True:
            signal = agree(trainer, caught)
            over = trainer.share >= 1
            row_due = bool(trainer.summed) and (over or trainer.step % options.log_every == 0)
            often = options.checkpoint_every and trainer.step % options.checkpoint_every == 0
            save_due = trainer.step > saved and (over or signal or often or trainer.step % trainer.steps_an_epoch == 0)
            if row_due or save_due or trainer.device.type == "cpu":
                stop_if_diverged(trainer, saved)
            if row_due and result is not None:
                row = found(trainer, result)
                team.together(lambda row=row: log.row(row) if log else None)
            if save_due:
                state = team.together(trainer.state_dict)
                team.together(lambda state=state: checkpoint.write(folder, state) if log else None)
                saved = trainer.step
            if signal:
                raise Interrupted(signal)
            if probes and probes.due(trainer):
                probes.take(trainer)
                trainer.start_clock()
            if over:
                break
            result = trainer.train_step(trainer.batch(trainer.step))
            if log:
                log.advance()
    # Signals work by themselves again, so none is lost: not one that came during the last checkpoint or probe either.
    signal = max(number for (number,) in team.exchange(first(caught)))
    if signal:
        raise Interrupted(int(signal))


def first(caught: list[int]) -> float:
    """Return the first signal that this process has caught, or 0."""
    return float(caught[0] if caught else 0)


def agree(trainer: Trainer, caught: list[int]) -> int:
    """Advance all clocks by the first process's time; return a signal that any process has caught, or 0.

    The clock decides the learning rate and the end of the run, so it must be the same in all processes.
    """
    said = trainer.team.exchange(first(caught), trainer.lap())
    trainer.seconds += said[0][1]
    return int(max(signal for signal, _ in said))


def stop_if_diverged(trainer: Trainer, saved: int) -> None:
    """Raise an error if a loss was not finite in any process."""
    said = trainer.diverged()
    flags = [bad for (bad,) in trainer.team.exchange(float(bool(said)))]
    if not any(flags):
        return
    if flags.index(1.0) != trainer.team.rank:
        raise Stopped
    raise BadInput(f"{said}; the checkpoint of step {saved} is kept")
