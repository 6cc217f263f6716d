"""examples/reproduction/reproduce.py: every recipe runs, a bad recipe is refused, the table says what was run."""

import json
import shutil
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "reproduction"
RECIPES = sorted(
    path.relative_to(EXAMPLES / "recipes").with_suffix("").as_posix() for path in EXAMPLES.rglob("recipes/*/*.json")
)

pytestmark = pytest.mark.filterwarnings("default")  # matplotlib and TensorBoard warn


@pytest.fixture(scope="module")
def smoke(parts, tmp_path_factory):
    """Run two recipes on a few digits and return the folder."""
    out = tmp_path_factory.mktemp("reproduce")
    assert parts.reproduce.main(["--smoke", "--threads", "1", "--out", str(out)]) == 0
    return out


class TestEveryRecipe:
    def test_there_is_one_a_row_of_the_tables(self, parts):
        for table in ("cifar10", "cifar100"):
            names = [recipe.name for recipe in parts.recipe_files.find([table]) if recipe.published]
            assert len([name for name in names if "crops" not in name]) == 9
        for table in ("cifar10", "stl10"):
            names = [recipe.name for recipe in parts.recipe_files.find([table]) if "strided crops" in recipe.table]
            assert names == [f"{table}/crops-{row}" for row in ("one", "cpc", "many")]
        (best,) = parts.recipe_files.find(["cifar10/dim-local-infonce"])
        assert best.published == {"conv": 75.21, "fc": 75.57, "y": 69.13}

    def test_what_is_ours_claims_nothing_published(self, parts):
        for recipe in parts.recipe_files.every():
            assert recipe.source in ("infomax", "Hjelm et al. 2019")
            assert not (recipe.source == "infomax" and recipe.published)
            assert recipe.name.startswith("ours/") <= (recipe.source == "infomax")

    @pytest.mark.parametrize("name", RECIPES)
    def test_builds_and_takes_a_step(self, parts, name, built):
        (recipe,) = parts.recipe_files.find([name])
        options = recipe.settings
        side = options.crop or options.size or 32
        encoder = parts.objective.encoder_name(options, side)
        model = [f.name for f in fields(options) if f.metadata["group"] == "objective"]
        key = (encoder, *(getattr(options, name) for name in model if name != "encoder"))
        small = encoder == "conv32"
        if key in built:  # a recipe of another data set has the same model
            return
        built.add(key)
        with torch.device("cpu" if small else "meta"):  # shapes only for large models
            encoder = parts.objective.build_encoder(options, 3, side)
            train = SimpleNamespace(pixels=torch.zeros(6, 1), labels=torch.arange(6, device="cpu") % 2)
            images = SimpleNamespace(train=train, classes=("a", "b"), has_labels=True)
            model = parts.models.build_model(options, encoder, images)
            if options.objective == "nat" and not small:  # the assignment needs values
                return
            pixels = torch.rand(4, 3, side, side)
            step = model(parts.objective.Batch(pixels, None, torch.arange(4) % 2, torch.arange(4)))
        assert set(step.parts) <= set(model.columns)
        if small:
            assert step.loss.isfinite()
        step.loss.backward()
        assert all(p.grad is not None for p in encoder.local.parameters())


@pytest.fixture(scope="module")
def built():
    """Return the set of the models built so far."""
    return set()


class TestBadRecipe:
    @pytest.fixture
    def content(self):
        return json.loads((EXAMPLES / "recipes" / "cifar10" / "dim-local-jsd.json").read_text())

    def refused(self, parts, tmp_path, content):
        path = tmp_path / "row.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        with pytest.raises(parts.errors.BadInput) as error:
            parts.recipe_files.read(path)
        assert str(path) in str(error.value)
        return str(error.value)

    def test_the_file_it_starts_from_is_good(self, parts, tmp_path, content):
        path = tmp_path / "row.json"
        path.write_text(json.dumps(content))
        assert parts.recipe_files.find([str(path)])[0].name == "row"

    def test_no_json(self, parts, tmp_path):
        assert "JSON" in self.refused(parts, tmp_path, "{'title'")

    @pytest.mark.parametrize("text", ["[]", "{}", '"text"'])
    def test_other_json(self, parts, tmp_path, text):
        assert "expected the keys title" in self.refused(parts, tmp_path, text)

    def test_a_key_too_many(self, parts, tmp_path, content):
        assert "colour" in self.refused(parts, tmp_path, {**content, "colour": "red"})

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"estimater": "jsd"}, "'estimater': perhaps estimator"),
            ({"estimator": "jds"}, "one of infonce"),
            ({"estimator": 3}, "text for estimator"),
            ({"epochs": "many"}, "a number for epochs"),
            ({"batch": 6.5}, "a whole number for batch"),
            ({"batch": True}, "a whole number for batch"),
            ({"flip": 1}, "true or false for flip"),
            ({"threads": 2}, "that decide the result; got 'threads'"),
            ({"out": "somewhere"}, "that decide the result; got 'out'"),
            ({"minutes": 5.0, "epochs": 5.0}, "one of the two"),
            ({"beta": 0.0}, "--alpha/--beta"),
        ],
    )
    def test_options(self, parts, tmp_path, content, options, said):
        content["options"] |= options
        assert said in self.refused(parts, tmp_path, content)

    @pytest.mark.parametrize(
        ("published", "said"), [({"conv": 152.0}, "between 0 and 100"), ({"cnov": 52.0}, "'cnov'"), ([52.0], "a table")]
    )
    def test_figures(self, parts, tmp_path, content, published, said):
        assert said in self.refused(parts, tmp_path, {**content, "published": published})


class TestTable:
    def test_ours_beside_the_published(self, smoke, rows):
        text = (smoke / "table.md").read_text()
        assert "### CIFAR-10" in text
        assert text.count(", float32") == 2  # in the note of each row
        assert [line["precision"] for line in rows(smoke / "table.csv")] == ["float32", "float32"]
        for line, published in zip(rows(smoke / "table.csv"), (73.25, 62.19), strict=True):
            results = smoke / line["recipe"] / "seed-0" / "results.json"
            conv = json.loads(results.read_text())["probes"]["trained"]["conv"]
            assert float(line["conv"]) == conv
            assert float(line["conv published"]) == published
            assert f"| {line['title']} | {conv:.2f} | {published:.2f} |" in text

    def test_it_says_what_was_not_as_published(self, smoke):
        text = (smoke / "table.md").read_text()
        assert text.count("2 of 1000 epochs, on digits |") == 2
        assert text.count("Not as in any recipe: 2 of 1000 epochs; data digits instead of cifar10") == 1  # once
        assert text.count("not the published setting.") == 2
        assert "train images 192 instead of all" in text
        assert "python examples/reproduction/reproduce.py --smoke" in text

    def test_the_pictures(self, smoke):
        assert (smoke / "learning.png").stat().st_size > 10_000

    def row(self, parts, name="cifar10/dim-local-jsd", epochs=1000.0, **options):
        (recipe,) = parts.recipe_files.find([name])
        ran = {**vars(recipe.settings), **options}
        training = {"epochs": epochs, "seconds": 60.0}
        taken = {"semi": {name: ran[name] for name in ("semi_labels", "semi_epochs", "untrained")}}
        return parts.reproduction.Row(recipe, {"options": ran, "training": training, "taken": taken}, None)

    def test_what_was_measured(self, parts):
        results = {
            "training": {"test_accuracy": 70.0},
            "probes": {"trained": {"y": 60.0}, "untrained": {"y": 50.0}},
            "measures": {
                "semi": {"rows": [{"encoder": "trained", "value": 75.0}, {"encoder": "from scratch", "value": 65.0}]}
            },
        }
        row = parts.reproduction.Row(None, results, None)
        assert row.measured == {"classifier": 70.0, "y": 60.0, "semi-supervised": 75.0}

    def test_a_run_as_published_departs_in_nothing(self, parts):
        assert self.row(parts).departures == []
        assert self.row(parts, seed=3, threads=2, root="elsewhere", minutes=5.0).departures == []

    def test_departures(self, parts):
        assert self.row(parts, epochs=5.438).departures == ["5.4 of 1000 epochs"]
        assert self.row(parts, epochs=0.0123).length == "0.012 of 1000 epochs"
        assert self.row(parts, epochs=999.97).departures == ["999.9 of 1000 epochs"]
        assert self.row(parts, jitter=0.4).departures == ["jitter 0.4 instead of 0.0"]
        assert self.row(parts, semi_labels=0).departures == ["semi labels all instead of 5000"]
        assert self.row(parts, "ours/cifar10-jsd").departures == ["1 of 20 minutes"]
        assert self.row(parts, "cifar10/untrained", epochs=0.0).departures == []
        assert self.row(parts, "cifar10/untrained", epochs=0.0).length == "not trained"

    @pytest.mark.parametrize("bf16", [True, False])
    def test_the_precision_departs_where_the_recipe_does_not_leave_it_to_the_processor(self, parts, bf16):
        ours, papers = self.row(parts, "ours/cifar10-jsd", bf16=bf16), self.row(parts, bf16=bf16)
        assert ours.departures == ["1 of 20 minutes"]
        assert papers.departures == (["bf16 True instead of False"] if bf16 else [])
        assert ours.precision == papers.precision == ("bfloat16" if bf16 else "float32")


class TestLength:
    @pytest.mark.parametrize(
        ("text", "minutes"), [("90s", 1.5), ("20m", 20), ("20min", 20), ("1h30m", 90), ("1.5 h", 90), ("7", 7)]
    )
    def test_budget(self, parts, text, minutes):
        assert parts.reproduce.minutes_of(text) == pytest.approx(minutes)

    @pytest.mark.parametrize("text", ["", "soon", "0m", "-5m", "5 weeks", "1h30"])
    def test_bad_budget(self, parts, text, capsys):
        assert parts.reproduce.main(["cifar10/vae", f"--budget={text or ' '}"]) == 2
        assert "--budget" in capsys.readouterr().err

    def test_the_budget_is_shared_by_what_is_trained(self, parts, monkeypatch, tmp_path):
        seen = {}

        def run(recipe, options):
            seen[recipe.name] = options
            raise parts.errors.BadInput("enough")

        monkeypatch.setattr(parts.reproduction, "run", run)
        names = ["cifar10/untrained", "cifar10/vae", "ours/cifar10-infonce"]
        assert parts.reproduce.main([*names, "--budget", "30m", "--seed", "4", "--out", str(tmp_path)]) == 2
        assert [(options.minutes, options.epochs) for options in seen.values()] == [(0, 0), (15, 0), (15, 0)]
        assert seen["cifar10/vae"].out == str(tmp_path / "cifar10" / "vae" / "seed-4")
        assert parts.reproduce.main([*names[1:], "--out", str(tmp_path)]) == 2
        assert [(o.minutes, o.epochs) for o in list(seen.values())[1:]] == [(0, 1000), (20, 0)]
        assert seen["cifar10/vae"].quick_probes == 6
        assert parts.reproduce.main(["stl10/dim-local-jsd", "--out", str(tmp_path)]) == 2
        assert "semi" in seen["stl10/dim-local-jsd"].measures

    def test_a_schedule_that_knows_its_end_is_not_lengthened(self, parts, tmp_path):
        (recipe,) = parts.recipe_files.find(["ours/cifar10-jsd"])
        short, long = (parts.reproduction.options_of(recipe, {}, tmp_path, minutes) for minutes in (5.0, 10.0))
        folder = Path(short.out)
        folder.mkdir(parents=True)
        parts.files.write_json(folder / "config.json", vars(short))
        state = dict.fromkeys(parts.checkpoint.KEYS) | {"options": vars(short)}
        parts.checkpoint.write(parts.reproduction.RunFolder(folder), state)
        with pytest.raises(parts.errors.BadInput, match=r"--minutes 10.0 \(the run has 5.0\)"):
            parts.reproduction.run(recipe, long)


def test_stopped_and_then_longer_is_as_if_never_stopped(parts, smoke, rows, losses, tmp_path, monkeypatch, capsys):
    command = ["cifar10/dim-local-jsd", "--smoke", "--threads", "1", "--out", str(tmp_path), "--checkpoint-every", "2"]
    command += ["--quick-probes", "0"]  # quick probes do not change the training
    whole = parts.loop.Trainer.train_step

    def stops(trainer, index):
        if trainer.step == 2:
            raise KeyboardInterrupt
        return whole(trainer, index)

    with monkeypatch.context() as patch:
        patch.setattr(parts.loop.Trainer, "train_step", stops)
        assert parts.reproduce.main([*command, "--epochs", "1"]) == 130
    assert "the same command" in capsys.readouterr().err
    folder = tmp_path / "cifar10" / "dim-local-jsd" / "seed-0"
    assert len(rows(folder / "metrics.csv")) == 2
    assert parts.reproduce.main(command) == 0  # now two epochs, the default of --smoke
    uncut = smoke / "cifar10" / "dim-local-jsd" / "seed-0"
    assert losses(folder) == losses(uncut)
    assert len(losses(folder)) == 6
    assert (folder / "results.json").exists()
    shutil.rmtree(tmp_path / "cifar10")


class TestCommandLine:
    def test_list(self, parts, capsys):
        assert parts.reproduce.main(["--list"]) == 0
        said = capsys.readouterr().out
        assert all(name in said for name in RECIPES)
        assert parts.reproduce.main(["--list", "stl10"]) == 0
        assert "cifar10/" not in capsys.readouterr().out

    def test_a_name_that_is_not_there(self, parts, capsys):
        assert parts.reproduce.main(["cifar10/dim-local-nce"]) == 2
        assert "cifar10/dim-local-infonce" in capsys.readouterr().err

    def test_a_row_that_cannot_be_made_is_told(self, parts, tmp_path, capsys):
        names = ["cifar10/vae", "cifar10/nat"]
        assert parts.reproduce.main([*names, "--data-root", str(tmp_path / "no"), "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert said.count("reproduce: error: cifar10/") == 2
        assert not (tmp_path / "out" / "table.md").exists()

    @pytest.mark.parametrize("arguments", [[], ["cifar10/vae", "--budget", "5m", "--epochs", "3"]])
    def test_usage(self, parts, arguments, capsys):
        with pytest.raises(SystemExit) as error:
            parts.reproduce.main(arguments)
        assert error.value.code == 2


@pytest.mark.parametrize(
    ("asked", "spelt"),
    [
        ({"epochs": 1.0}, "1 epoch of training instead of 1000 epochs"),
        ({"epochs": 10000.0}, "10000 epochs of training instead of 1000 epochs"),
        ({"minutes": 40 / 3}, "13.333 minutes of training instead of 1000 epochs"),
        ({"epochs": 1000.0}, "1000 epochs"),
    ],
)
def test_the_length_is_told_before_the_run(parts, asked, spelt):
    [recipe] = parts.recipe_files.find(["cifar10/dim-local-jsd"])
    options = parts.resolving.resolve({**recipe.options, "epochs": 0.0, "minutes": 0.0, **asked, "out": "unused"})
    assert parts.reproduce.length_of(recipe, options) == spelt
