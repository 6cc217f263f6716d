"""Two processes train one model, each on its share of every batch; only the first writes; both stop and resume."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from processes import run_ranks

pytestmark = pytest.mark.slow  # two processes must import torch

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "examples" / "reproduction" / "train_dim.py"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Run two processes on gloo; return their folder and the record of each process."""
    folder = tmp_path_factory.mktemp("torchrun")
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return folder, run_ranks(HERE / "trainer_ranks.py", 2, folder, *ports)


@pytest.fixture(scope="module")
def folder(found):
    """Return the folder with all runs of the two processes."""
    return found[0]


@pytest.fixture(scope="module")
def seen(found):
    """Return the record of each process: exit codes; images and weights of every step."""
    return found[1]


def test_the_weights_are_one_model_and_the_images_two_shares(seen):
    (_, first), (_, second) = seen
    steps = [key for key in first if key[0] == "whole"]
    assert len(steps) == 4
    for step in steps:
        images, weights = first[step]
        others, same = second[step]
        assert weights == same
        assert len(images) == len(others) == 4
        assert not set(images) & set(others)
    shown = [image for step in steps for rank in (first, second) for image in rank[step][0]]
    assert sorted(shown) == list(range(32))


def test_a_signal_to_one_stops_all_at_a_step_and_all_go_on_exactly(seen, folder, losses):
    for codes, found in seen:
        assert codes["stopped"] == 128 + signal.SIGTERM
        assert codes["whole"] == codes["resumed"] == 0
        assert max(step for name, step in found if name == "stopped") == 2
        for step in range(3, 5):
            assert found["resumed", step] == found["whole", step]
    assert losses(folder / "stopped") == losses(folder / "whole")
    assert (folder / "said").read_text().count("checkpoint written") == 1


def test_negatives_come_from_both(folder, rows):
    (ceiling,) = {row["mi_ceiling"] for row in rows(folder / "whole" / "metrics.csv")}
    assert float(ceiling) == pytest.approx(torch.tensor(1.0 + 7 * 8).log().item())


def test_the_first_one_alone_writes(folder):
    assert (folder / "whole" / "report.html").exists()
    assert len(list((folder / "whole" / "tensorboard").glob("*"))) == 1


def test_where_the_first_cannot_write_all_end(seen, folder):
    assert [codes["full"] for codes, _ in seen] == [2, 2]
    assert (folder / "said").read_text().count("No space left on device") == 1


def test_memory_that_runs_out_in_one_process_is_a_line_in_each(seen, folder):
    """The process that goes on printed the traceback of the exchange in which it had waited."""
    assert [codes["memory"] for codes, _ in seen] == [2, 2]
    said = (folder / "said").read_text()
    assert "train_dim: error: another process has failed; the reason is in its output" in said
    assert "expected sizes that fit into memory; got: CUDA out of memory." in said
    assert "Traceback" not in said


def test_torchrun_itself(tmp_path, losses):
    """SIGTERM to torchrun reaches all processes. They save once, and --resume then gives the losses of a whole run."""
    run = ["--smoke", "--train-images", "48", "--batch", "8", "--threads", "1", "--measures", "", "--device", "cpu"]

    def begin(*arguments):
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
        command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", str(SCRIPT), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    said, _ = (process := begin(*run, "--out", str(tmp_path / "whole"))).communicate()
    assert process.returncode == 0, said
    process = begin(*run, "--out", str(tmp_path / "stopped"))
    while not (tmp_path / "stopped" / "metrics.csv").exists() or len(losses(tmp_path / "stopped")) < 4:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.terminate()
    said, _ = process.communicate()
    assert said.count("checkpoint written") == 1
    said, _ = (process := begin("--resume", "--out", str(tmp_path / "stopped"))).communicate()
    assert process.returncode == 0, said
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
