"""A run that is killed by SIGKILL twenty times, ten of them during a write, has the results of an uninterrupted run."""

import json
import multiprocessing
import random
import time

import pytest
import torch

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

KILLS = 20


def outcome(out, rows):
    """Return the results without times and paths: metrics, quick probes, final probes, weights."""
    columns = ("images_per_second", "seconds")
    tables = [
        [{name: value for name, value in row.items() if name not in columns} for row in rows(out / name)]
        for name in ("metrics.csv", "probes.csv")
    ]
    weights = torch.load(out / "encoder.pt", weights_only=True)
    return [*tables, json.loads((out / "results.json").read_text())["probes"], weights]


def steps_of(out, rows):
    return len(rows(out / "metrics.csv")) if (out / "metrics.csv").exists() else 0


def kill_somewhere(process, out, rows, draw, *, in_a_write):
    """Wait for up to two steps, then for a random time or a half-written checkpoint; kill the process.

    Return the number of steps recorded, or None if the run ended first.
    """
    ahead = steps_of(out, rows) + draw.choice((0, 1, 1, 2))
    while process.is_alive() and steps_of(out, rows) < ahead:
        time.sleep(0.005)
    moment = time.monotonic() + draw.uniform(0, 1)
    while process.is_alive() and not in_a_write and time.monotonic() < moment:
        time.sleep(0.005)
    while process.is_alive() and in_a_write and not any(out.glob("checkpoint*.partial")):
        time.sleep(0.0005)
    in_time = process.is_alive()
    process.kill()
    process.join()
    return steps_of(out, rows) if in_time else None


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
    draw, kills, number, steps = random.Random(0), 0, 0, []
    while kills < KILLS:
        out = tmp_path / str(number)
        number += 1
        process = begin(out, *run)
        while kills < KILLS:
            in_a_write = bool(kills % 2)
            step = kill_somewhere(process, out, rows, draw, in_a_write=in_a_write)
            if step is None:
                break
            kills += 1
            steps.append(step)
            print(
                f"kill {kills} after {step} steps{', in the write of a checkpoint' if in_a_write else ''}", flush=True
            )
            begun = (out / "config.json").exists()
            process = begin(out, *(["--resume"] if begun else run))
        process.join()
        found = outcome(out, rows)
        assert found[:3] == expected[:3]
        assert all(torch.equal(value, expected[3][name]) for name, value in found[3].items())
    assert len(set(steps)) > KILLS // 4  # the kills are spread over the training
