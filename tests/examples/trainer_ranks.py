"""One of several processes that train together, started by test_torchrun.py as torchrun would start it.

``python trainer_ranks.py RANK WORLD FOLDER PORT...``, with one port for each run.
"""

import os
import signal
import sys
from pathlib import Path

import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "reproduction"


def main() -> None:
    rank, world, folder, ports = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:]
    sys.path.insert(0, str(EXAMPLES))
    os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1"}
    import train_dim
    from dim_training import run_folder
    from dim_training.trainer import Trainer

    seen, whole, in_run = {}, Trainer.train_step, {"name": ""}

    def train_step(trainer, index):
        images = trainer.team.share(index).tolist()
        if in_run["name"] == "memory" and trainer.step == 2 and rank == "1":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        result = whole(trainer, index)
        digest = [float(p.detach().double().sum()) for p in trainer.model.parameters()]
        seen[in_run["name"], trainer.step] = (images, digest)
        if in_run["name"] == "stopped" and trainer.step == 2 and rank == "1":
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)  # torchrun sends it twice
        return result

    def full(*_):
        raise OSError(28, os.strerror(28))

    Trainer.train_step, add = train_step, run_folder.Table.add
    run = [
        "--smoke", "--train-images", "32", "--batch", "8", "--epochs", "1", "--gamma", "0.1", "--threads", "1",
        "--measures", "", "--device", "cpu", "--ema", "0.9",
    ]  # fmt: skip
    runs = {"whole": run, "stopped": run, "resumed": ["--resume"], "full": run, "memory": run}
    codes = {}
    for port, (name, arguments) in zip(ports, runs.items(), strict=True):
        os.environ["MASTER_PORT"] = port
        in_run["name"] = name
        out = folder / ("stopped" if name == "resumed" else name)
        if name == "full":  # the first process cannot write, so all must end
            run_folder.Table.add = full
        if name == "memory":  # the last run, because the group of processes is of no use after it
            run_folder.Table.add = add
        codes[name] = train_dim.main([*arguments, "--out", str(out)])
    torch.save((codes, seen), folder / f"{rank}.pt")


if __name__ == "__main__":
    main()
