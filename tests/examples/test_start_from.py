"""A run that starts with the weights of an earlier one: what it takes from it, what it says, and what it refuses."""

import json

import pytest
import torch

pytestmark = pytest.mark.filterwarnings("default")  # matplotlib and TensorBoard warn


@pytest.fixture
def again(short_run, whole, tmp_path):
    """Return the command line of a run of five steps that starts from the finished one."""
    return [*short_run, "--measures", "", "--max-steps", "5", "--start-from", str(whole), "--out", str(tmp_path / "b")]


class TestTrainer:
    def test_takes_the_weights_and_counts_the_epochs(self, trainer, parts):
        first, other = trainer(seed=3), trainer(seed=4, ema=0.9)
        for _ in range(7):
            first.train_step(first.batch(first.step))
        first.seconds = 2.5
        order = first.order(2)  # 7 steps of 5 per epoch have begun the second epoch, so the third one is next
        other.start_from(first.state_dict())
        assert other.step == 0
        assert other.seconds == 0
        assert other.before == {"steps": 7, "epochs": 1.4, "seconds": 2.5}
        for name, weight in first.model.state_dict().items():
            assert torch.equal(other.model.state_dict()[name], weight)
        for name, weight in first.model.encoder.state_dict().items():
            assert torch.equal(other.encoder.state_dict()[name], weight)  # the average starts there too
        same_seed = trainer(seed=3)
        same_seed.start_from(first.state_dict())
        assert torch.equal(same_seed.order(0), order)

    def test_random_numbers_go_on(self, trainer):
        first = trainer(seed=3, jitter=0.4)
        first.train_step(first.batch(0))
        state = first.state_dict()
        following = torch.rand(4)
        trainer(seed=3, jitter=0.4).start_from(state)
        assert torch.equal(torch.rand(4), following)

    def test_a_process_more_keeps_its_own_random_numbers(self, trainer):
        """With those of the first process, both would augment in the same way."""
        first, second = trainer(seed=3), trainer(seed=3)
        first.train_step(first.batch(0))
        second.team.rank = 1
        torch.manual_seed(8)
        own = torch.rand(4)
        torch.manual_seed(8)
        second.start_from(first.state_dict())
        assert torch.equal(torch.rand(4), own)

    def test_a_third_run_counts_the_first_two(self, trainer):
        first, second, third = trainer(), trainer(), trainer()
        first.train_step(first.batch(0))
        second.start_from(first.state_dict())
        second.train_step(second.batch(0))
        second.seconds = 1.0
        third.start_from(second.state_dict())
        assert third.before == {"steps": 2, "epochs": pytest.approx(0.4), "seconds": 1.0}

    def test_epochs_are_those_of_these_images_with_other_batches(self, trainer):
        first, second = trainer(batch=8), trainer(batch=4)
        first.train_step(first.batch(0))
        second.start_from(first.state_dict())
        assert second.before["epochs"] == pytest.approx(0.2)


def test_begins_where_the_other_ended(train_dim, again, losses, whole, tmp_path):
    """The first loss is nearer to the last one of the earlier run than to its first one."""
    assert train_dim.main(again) == 0
    new, old = ([float(row[1]) for row in losses(out)] for out in (tmp_path / "b", whole))
    assert abs(new[0] - old[-1]) < abs(new[0] - old[0])
    training = json.loads((tmp_path / "b" / "results.json").read_text())["training"]
    assert training["steps"] == 5
    assert training["before"]["steps"] == 15
    assert training["before"]["epochs"] == 3
    said = (tmp_path / "b" / "report.md").read_text()
    assert "It began with the weights of an earlier run, after 3.0 epochs" in said
    assert str(whole.parent) not in said


def test_a_stopped_one_goes_on_exactly(train_dim, again, losses, tmp_path):
    from dim_training.trainer import Trainer

    cut = [*again[:-1], str(tmp_path / "cut")]
    assert train_dim.main(again) == 0

    step = Trainer.train_step

    def stop(trainer, index):
        if trainer.step == 3 and not stopped:
            stopped.append(trainer.step)
            raise KeyboardInterrupt
        return step(trainer, index)

    stopped: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", stop)
        assert train_dim.main([*cut, "--checkpoint-every", "1"]) == 130
        assert train_dim.main(["--out", str(tmp_path / "cut"), "--resume"]) == 0
    assert stopped == [3]
    assert losses(tmp_path / "cut") == losses(tmp_path / "b")
    results = [json.loads((tmp_path / out / "results.json").read_text())["training"]["before"] for out in ("cut", "b")]
    assert results[0] == results[1]


class TestRefused:
    def test_a_folder_without_a_run(self, train_dim, again, one_line, tmp_path):
        again[again.index("--start-from") + 1] = str(tmp_path / "none")
        assert train_dim.main(again) == 2
        assert "--start-from" in (said := one_line())
        assert "expected the folder of a run" in said

    def test_a_run_on_other_images(self, train_dim, again, one_line):
        """With --validation the earlier run would have trained on the images that this one measures with."""
        assert train_dim.main([*again, "--validation", "20"]) == 2
        said = one_line()
        assert "the same training images" in said
        assert "--validation" in said

    @pytest.mark.parametrize(
        "other", [["--units", "16"], ["--dim", "8"], ["--objective", "supervised", "--gamma", "0"]]
    )
    def test_a_run_of_another_model(self, train_dim, again, one_line, other):
        assert train_dim.main([*again, *other]) == 2
        said = one_line()
        assert "--start-from: expected a run of the same model" in said
        assert "state_dict" in said


def test_an_average_is_not_taken_but_mentioned(train_dim, short_run, again, tmp_path, capsys):
    first = [*short_run, "--measures", "", "--max-steps", "2", "--ema", "0.5", "--out", str(tmp_path / "averaged")]
    assert train_dim.main(first) == 0
    again[again.index("--start-from") + 1] = str(tmp_path / "averaged")
    assert train_dim.main(again) == 0
    assert "this run starts from the last ones" in capsys.readouterr().err
