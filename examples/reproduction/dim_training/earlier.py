"""Starting a run with the weights of an earlier one, for another cycle of the learning rate."""

import sys

from . import checkpoint
from .errors import BadInput
from .run_folder import RunFolder
from .trainer import Trainer


def start_from(trainer: Trainer, path: str) -> None:
    """Give a new run the weights, the random numbers and the count of epochs of the run in ``path``.

    The images must be those of the earlier run: otherwise it may have trained on images that this one leaves out to
    measure with.
    """
    folder = RunFolder(path)
    if not folder.trained:
        raise BadInput(f"--start-from {path}: expected the folder of a run, with its checkpoint.pt; there is none")
    state = checkpoint.read(folder)
    if state["images"] != trainer.fingerprint:
        raise BadInput(
            f"--start-from {path}: expected a run on the same training images ({trainer.fingerprint}), so that no "
            f"image to measure with was trained on; got a run on others ({state['images']}): "
            "check --root and --validation"
        )
    if state["options"].get("ema"):
        print(f"train_dim: {path} kept an average of its weights; this run starts from the last ones", file=sys.stderr)
    trainer.start_from(state)
