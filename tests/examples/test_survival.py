"""A run folder survives damaged and missing files, a full disk, two runs at once, and a loss that is not finite."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.filterwarnings("default")  # matplotlib and TensorBoard warn


@pytest.fixture
def copy(whole, tmp_path):
    """Return a copy of the finished run, which a test may damage."""
    return shutil.copytree(whole, tmp_path / "copy")


@pytest.fixture(scope="module")
def stopped(train_dim, short_run, tmp_path_factory):
    """Return a run without measures, stopped after its checkpoint of step 4, with that of step 2 kept beside it."""
    out = tmp_path_factory.mktemp("runs") / "half"
    arguments = [*short_run, "--measures", "", "--max-steps", "4", "--checkpoint-every", "2", "--out", str(out)]
    assert train_dim.main(arguments) == 0
    (out / "results.json").unlink()
    return out


@pytest.fixture
def half(stopped, tmp_path):
    """Return a copy of the stopped run."""
    return shutil.copytree(stopped, tmp_path / "half")


def flip(path, at):
    raw = bytearray(path.read_bytes())
    raw[int(at * (len(raw) - 1))] ^= 4
    path.write_bytes(raw)


def test_no_flipped_bit_and_no_cut_gets_through(train_dim, tmp_path):
    from dim_training.errors import BadInput
    from dim_training.files import load_sealed, save_sealed

    path = tmp_path / "x.pt"
    save_sealed(path, {"weights": torch.arange(500.0), "step": 3})
    whole = path.read_bytes()
    assert torch.load(path, weights_only=True)["step"] == 3  # torch.load ignores the checksum
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BadInput, match=r"x\.pt: expected a whole file"):
            load_sealed(path)
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(BadInput, match=r"x\.pt: expected a whole file"):
            load_sealed(path)
    path.write_bytes(whole)
    assert torch.equal(load_sealed(path)["weights"], torch.arange(500.0))


def test_no_flipped_bit_of_the_results_gets_through(parts, whole, copy, capsys):
    """Where a flipped bit leaves valid JSON, as in "uest_images", the checksum is wrong."""
    folder = parts.run_folder.RunFolder(copy)
    raw, expected = folder.results.read_bytes(), parts.outcome.read_results(parts.run_folder.RunFolder(whole))
    assert expected["probes"]["trained"]
    for at in range(len(raw)):
        folder.results.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :])
        found = parts.outcome.read_results(folder)
        assert found in (None, expected)  # the case of the E in 1E-05 means nothing
        assert (found is None) == ("results.json is damaged" in capsys.readouterr().err)


class TestCheckpoint:
    @pytest.fixture
    def read(self, train_dim, half):
        from dim_training import checkpoint
        from dim_training.run_folder import RunFolder

        return lambda: checkpoint.read(RunFolder(half))

    def test_the_one_before_takes_the_place_of_a_damaged_one(self, half, read, capsys):
        assert read()["step"] == 4
        assert capsys.readouterr().err == ""
        flip(half / "checkpoint.pt", 0.6)
        assert read()["step"] == 2
        said = capsys.readouterr().err
        assert "checkpoint.pt: expected a whole file; its checksum is wrong" in said
        assert "of step 2" in said
        assert not (half / "checkpoint.pt").exists()  # or it would replace the good one at the next write
        assert read()["step"] == 2

    def test_stopped_while_they_change_places(self, half, read):
        (half / "checkpoint.pt").rename(half / "checkpoint.new.pt")
        assert read()["step"] == 4

    def test_none_that_is_whole_is_refused(self, train_dim, half, one_line):
        for path in half.glob("checkpoint*"):
            path.write_bytes(path.read_bytes()[:1000])
        assert train_dim.main(["--out", str(half), "--resume"]) == 2
        said = one_line()
        assert "checkpoint.pt" in said
        assert "another --out" in said

    def test_one_without_its_keys_is_refused(self, train_dim, half, one_line):
        from dim_training.files import save_sealed

        (half / "checkpoint.before.pt").unlink()
        save_sealed(half / "checkpoint.pt", {"version": 2, "model": {}})
        assert train_dim.main(["--out", str(half), "--resume"]) == 2
        assert "it lacks options, average" in one_line()

    def test_one_of_another_model_is_refused(self, train_dim, half, one_line):
        from dim_training.files import load_sealed, save_sealed

        save_sealed(half / "checkpoint.pt", load_sealed(half / "checkpoint.pt") | {"model": {}})
        assert train_dim.main(["--out", str(half), "--resume"]) == 2
        assert "a checkpoint of this model" in one_line()


class TestSmallFiles:
    def test_damaged_ones_are_made_again(self, train_dim, whole, copy, losses, capsys):
        """With damaged config, results and metrics, the settings come from the checkpoint and the rest is measured."""
        (copy / "config.json").write_bytes(b"")
        (copy / "results.json").write_bytes(b"\xff\xfe{")
        lines = (copy / "metrics.csv").read_bytes().splitlines(keepends=True)
        (copy / "metrics.csv").write_bytes(b"".join([*lines[:4], b"4,\xff\xfe,\x00\n", *lines[5:], b"16,0.1"]))
        assert train_dim.main(["--out", str(copy), "--resume", "--measures", "neighbours"]) == 0
        said = capsys.readouterr().err
        assert "config.json: expected what a run wrote there; got an empty file" in said
        assert "results.json is damaged" in said
        assert "1 damaged rows are left out" in said
        assert losses(copy) == [row for row in losses(whole) if row[0] != "4"]
        config, before = (json.loads((out / "config.json").read_text()) for out in (copy, whole))
        assert config == before | {"out": str(copy), "measures": "neighbours"}

    def test_results_with_a_flipped_bit_are_measured_again(self, train_dim, whole, copy, capsys):
        """The JSON was valid, so it was loaded, and the report failed with a KeyError."""
        raw = (copy / "results.json").read_text()
        (copy / "results.json").write_text(raw.replace('"test_images"', '"uest_images"'))
        assert train_dim.main(["--out", str(copy), "--resume"]) == 0
        assert "results.json is damaged" in capsys.readouterr().err
        before, after = (json.loads((out / "results.json").read_text()) for out in (whole, copy))
        assert after["probes"] == before["probes"]

    def test_results_of_an_earlier_version_are_kept(self, train_dim, copy, capsys):
        results = json.loads((copy / "results.json").read_text())
        del results["checksum"]
        results["probes"]["trained"]["y"] = 12.5
        (copy / "results.json").write_text(json.dumps(results))
        assert train_dim.main(["--out", str(copy), "--resume"]) == 0
        assert "damaged" not in capsys.readouterr().err
        assert json.loads((copy / "results.json").read_text())["probes"]["trained"]["y"] == 12.5

    def test_damaged_results_of_the_supervised_run_do_not_cost_the_report(self, train_dim, copy, capsys):
        (copy / "supervised").mkdir()
        (copy / "supervised" / "results.json").write_text("{")
        assert train_dim.main(["--out", str(copy), "--resume"]) == 0
        assert "supervised/results.json is damaged" in capsys.readouterr().err

    def test_a_setting_that_differs_from_the_checkpoint_is_not_taken(self, train_dim, half, losses, whole, capsys):
        """A bit of ``"lr": 0.003`` may flip to 0.007, which is still JSON."""
        config = json.loads((half / "config.json").read_text())
        changed = config | {"lr": config["lr"] + 0.004, "max_steps": 6, "probe_epochs": 3}
        (half / "config.json").write_text(json.dumps(changed))
        assert train_dim.main(["--out", str(half), "--resume"]) == 0
        said = capsys.readouterr().err
        assert "config.json: --lr differ from the checkpoint; the settings are those of the checkpoint" in said
        assert losses(half) == losses(whole)[:6]
        after = json.loads((half / "config.json").read_text())
        assert after == config | {"max_steps": 6, "probe_epochs": 3, "out": str(half)}

    def test_a_probe_that_was_cut_short_is_taken_again(self, train_dim, whole, rows, copy):
        lines = (copy / "probes.csv").read_text().splitlines(keepends=True)
        (copy / "probes.csv").write_text("".join(lines[:-2]))
        assert train_dim.main(["--out", str(copy), "--resume"]) == 0

        def accuracies(out):
            return [(row["step"], row["layer"], row["accuracy"]) for row in rows(out / "probes.csv")]

        assert accuracies(copy) == accuracies(whole)

    def test_the_last_row_is_written_and_counts_its_steps(self, train_dim, short_run, rows, tmp_path):
        run = [*short_run, "--measures", "", "--max-steps", "5"]
        for every in ("1", "3"):
            assert train_dim.main([*run, "--log-every", every, "--out", str(tmp_path / every)]) == 0
        each, some = (rows(tmp_path / every / "metrics.csv") for every in ("1", "3"))
        assert [row["step"] for row in some] == ["3", "5"]
        assert float(some[1]["loss"]) == pytest.approx((float(each[3]["loss"]) + float(each[4]["loss"])) / 2)


class TestDisk:
    @pytest.mark.parametrize("begins", ["checkpoint.new.pt", "metrics.csv", "config.json"])
    def test_a_full_one_loses_no_checkpoint(self, train_dim, half, full_disk, one_line, monkeypatch, begins):
        from dim_training import checkpoint
        from dim_training.run_folder import RunFolder

        saved = json.loads((half / "config.json").read_text())
        (half / "config.json").write_text(json.dumps(saved | {"max_steps": 6}))
        full_disk(begins)
        assert train_dim.main(["--out", str(half), "--resume"]) == 2
        said = one_line()
        assert begins in said
        assert "No space left on device: make room, then go on with --resume" in said
        monkeypatch.undo()
        assert checkpoint.read(RunFolder(half))["step"] == 4
        assert not list(half.glob("*.partial"))

    def test_out_below_a_file(self, train_dim, short_run, tmp_path, one_line):
        (tmp_path / "file").touch()
        assert train_dim.main([*short_run, "--out", str(tmp_path / "file" / "run")]) == 2
        assert "--out" in one_line()

    def test_a_folder_that_cannot_be_written(self, train_dim, short_run, tmp_path, one_line, monkeypatch):
        def read_only(path, *_):
            raise OSError(30, os.strerror(30), str(path))

        monkeypatch.setattr(os, "open", read_only)
        assert train_dim.main([*short_run, "--out", str(tmp_path)]) == 2
        assert "Read-only file system: pass a folder on a disk that can be written" in one_line()


def test_a_full_disk_ends_the_events_only(train_dim, tmp_path, capfd, monkeypatch):
    """TensorBoard writes in a thread of its own, which would print a traceback besides our line."""
    from dim_training.log import Events
    from tensorboard.summary.writer.record_writer import RecordWriter

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    tracebacks = []
    monkeypatch.setattr(threading, "excepthook", tracebacks.append)
    before = threading.excepthook
    events = Events(tmp_path, 0)
    monkeypatch.setattr(RecordWriter, "write", full)
    for step in range(1, 100):
        events.add("train", {"loss": 1.0}, step)
        time.sleep(0.01)
        if events.writer is None:
            break
    events.close()
    said = capfd.readouterr().err
    assert said == f"train_dim: no more TensorBoard events: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}\n"
    assert not tracebacks
    assert threading.excepthook == before


def test_a_path_that_is_not_utf_8_costs_the_events_only(train_dim, short_run, tmp_path, one_line, capsys):
    """TensorBoard raised UnicodeEncodeError, and so did standard output."""
    out = os.fsdecode(bytes(tmp_path) + b"/r_\xff")
    run = [*short_run, "--train-images", "32", "--epochs", "1", "--measures", "probes", "--out", out]
    assert train_dim.main(run) == 0
    said = capsys.readouterr()
    assert said.err.count("train_dim: no more TensorBoard events: ") == 1
    assert r"r_\udcff" in said.out
    assert Path(out, "report.html").exists()
    assert train_dim.main(run) == 2
    assert "expected a folder without a run" in one_line()


class TestOutput:
    """Where progress and messages cannot be written, the run goes on: the training is worth more than they are."""

    @pytest.fixture
    def run(self, train_dim, short_run, tmp_path):
        command = [sys.executable, "-W", "ignore", train_dim.__file__, *short_run, "--train-images", "32"]
        command += ["--epochs", "1", "--measures", "", "--out", str(tmp_path / "run")]

        def call(**streams):
            ran = subprocess.run(command, text=True, check=False, timeout=300, **streams)
            assert ran.returncode == 0, ran.stderr
            assert (tmp_path / "run" / "report.html").exists()
            return ran

        return call

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_on_a_full_disk(self, run):
        with Path("/dev/full").open("w") as full:
            said = run(stdout=full, stderr=subprocess.PIPE).stderr
        assert said.count("train_dim: standard output cannot be written (No space left on device)") == 1
        assert "Traceback" not in said

    def test_into_a_pipe_that_nobody_reads(self, run):
        read, write = os.pipe()
        os.close(read)
        run(stdout=write, stderr=write)
        os.close(write)

    def test_that_is_closed(self, train_dim, short_run, tmp_path, monkeypatch):
        """Python has None for a stream that was closed, as by ``2>&-``."""
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, None)
        run = [*short_run, "--train-images", "32", "--epochs", "1", "--measures", "", "--out", str(tmp_path)]
        assert train_dim.main(run) == 0


def test_two_runs_in_one_folder(train_dim, short_run, tmp_path, one_line):
    """The second run is refused. When the first process dies, even by SIGKILL, its lock is released."""
    code = f"""if True:
        import os, sys
        sys.path.insert(0, {str(Path(train_dim.__file__).parent)!r})
        from pathlib import Path
        from dim_training.lock import locked
        with locked(Path({str(tmp_path)!r})):
            print("held", flush=True)
            sys.stdin.read()
    """
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    assert train_dim.main([*short_run, "--out", str(tmp_path)]) == 2
    assert f"process {holder.pid} on" in one_line()
    holder.kill()
    holder.communicate()
    from dim_training.lock import locked

    with locked(tmp_path):
        pass


class TestDivergence:
    def test_a_loss_that_is_not_finite_names_batch_and_cause(self, train_dim, short_run, tmp_path, one_line):
        from dim_training.objective import DeepInfoMax

        whole, steps = DeepInfoMax.forward, []

        def forward(model, batch):
            steps.append(batch)
            step = whole(model, batch)
            if len(steps) == 4:
                step.parts["prior"].fill_(float("nan"))
                step = step._replace(loss=step.loss * float("inf"))
            return step

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DeepInfoMax, "forward", forward)
            arguments = ["--checkpoint-every", "2", "--measures", "", "--out", str(tmp_path)]
            assert train_dim.main([*short_run, *arguments]) == 2
        said = one_line()
        assert "the loss of step 4 is not finite" in said
        assert "not finite in the loss: prior" in said
        assert "batch 4 of epoch 1, training images " in said
        assert "the checkpoint of step 2 is kept" in said
        assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 2

    def test_weights_that_are_not_finite_are_not_saved(self, train_dim, half):
        from dim_training import data, options, trainer
        from dim_training.errors import BadInput

        chosen = options.Options(**json.loads((half / "config.json").read_text()))
        built = trainer.Trainer(chosen, data.load(chosen), torch.device("cpu"))
        with torch.no_grad():
            next(built.model.parameters())[0] = float("inf")
        with pytest.raises(BadInput, match="weights are not finite"):
            built.state_dict()
