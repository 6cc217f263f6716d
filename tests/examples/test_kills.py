"""Twenty times SIGKILL, half of them in the midst of a write: what comes out at last is what one run gives."""

import json
import multiprocessing
import random
import time

import pytest
import torch

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

KILLS = 20


def outcome(out, rows):
    """Everything but times and paths: metrics, quick probes, final probes, weights."""
    columns = ("images_per_second", "seconds")
    tables = [
        [{name: value for name, value in row.items() if name not in columns} for row in rows(out / name)]
        for name in ("metrics.csv", "probes.csv")
    ]
    weights = torch.load(out / "encoder.pt", weights_only=True)
    return [*tables, json.loads((out / "results.json").read_text())["probes"], weights]


def kill_somewhere(process, out, draw, *, in_a_write):
    """Wait for a while, perhaps for a checkpoint that is half written, and kill; False if the run ended before."""
    until = time.monotonic() + (draw.uniform(0.5, 3.0) if in_a_write else draw.uniform(0.5, 12.0))
    while process.is_alive() and time.monotonic() < until:
        time.sleep(0.01)
    while process.is_alive() and in_a_write and not any(out.glob("checkpoint*.partial")):
        time.sleep(0.0005)
    in_time = process.is_alive()
    process.kill()
    process.join()
    return in_time


def test_twenty_kills_change_nothing(train_dim, short_run, rows, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train_dim"])
    run = [*short_run, "--quick-probes", "3", "--checkpoint-every", "1", "--measures", "probes"]

    def begin(out, *arguments):
        process = context.Process(target=train_dim.main, args=([*arguments, "--out", str(out)],))
        process.start()
        return process

    process = begin(tmp_path / "whole", *run)
    process.join()
    expected = outcome(tmp_path / "whole", rows)
    draw, kills, writes, number, steps = random.Random(0), 0, 0, 0, []
    while kills < KILLS:
        out = tmp_path / str(number)
        number += 1
        process = begin(out, *run)
        while kills < KILLS:
            in_a_write = bool(kills % 2)
            if not kill_somewhere(process, out, draw, in_a_write=in_a_write):
                break
            kills += 1
            writes += in_a_write
            steps.append(len(rows(out / "metrics.csv")) if (out / "metrics.csv").exists() else 0)
            begun = (out / "config.json").exists()
            process = begin(out, *(["--resume"] if begun else run))
        process.join()
        found = outcome(out, rows)
        assert found[:3] == expected[:3]
        assert all(torch.equal(value, expected[3][name]) for name, value in found[3].items())
    assert writes == KILLS // 2
    assert len({step for step in steps if step}) > 3  # in the midst of training, too
    print(f"{kills} kills, {writes} of them in the write of a checkpoint, in {number} runs, after {steps} steps")
