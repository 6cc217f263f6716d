"""The paper's variants as options of examples/reproduction/train_dim.py: one step of each, and refused options."""

import pytest
import torch
from torch.nn.functional import cross_entropy

EVERYTHING = {
    "gamma": 0.5, "prior": "normal", "prior_measure": "hellinger", "prior_penalty": 1.0, "coordinates": 0.25,
    "relative_coordinates": 0.125, "activation_penalty": 1e-3,
}  # fmt: skip


def test_the_loss_is_the_weighted_sum_of_the_parts(trainer):
    step = trainer(alpha=2.0, **EVERYTHING).train_step(torch.arange(8))
    weights = {
        "local": 1.0, "global": 2.0, "prior": 0.5, "coordinates": 0.25, "relative_coordinates": 0.125,
        "activation": 1e-3,
    }  # fmt: skip
    assert set(step.parts) == set(weights)
    total = sum(weight * step.parts[name] for name, weight in weights.items())
    torch.testing.assert_close(step.loss.detach(), total)


def test_parts_are_columns_of_the_metrics(trainer):
    built = trainer(**EVERYTHING)
    assert set(built.train_step(torch.arange(8)).parts) <= set(built.model.columns)


def test_side_tasks_are_trained_and_saved(trainer):
    built = trainer(**EVERYTHING)
    before = {name: value.clone() for name, value in built.model.tasks.state_dict().items()}
    built.train_step(torch.arange(8))
    assert before.keys()
    assert all(not torch.equal(value, before[name]) for name, value in built.model.tasks.state_dict().items())
    again = trainer(**EVERYTHING)
    state = built.state_dict()
    again.load_state_dict(state)
    torch.set_rng_state(state["ranks"][0]["random"]["cpu"])
    expected = built.train_step(torch.arange(8, 16)).loss
    torch.set_rng_state(state["ranks"][0]["random"]["cpu"])
    assert again.train_step(torch.arange(8, 16)).loss == expected


@pytest.mark.parametrize("views", [1, 2])
def test_occlusion_hides_a_block_from_the_global_only(trainer, views):
    seen = []
    built = trainer(occlusion=0.25, views=views)
    built.model.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    built.train_step(torch.arange(8))
    (batch,) = seen
    whole, occluded = batch.images, batch.other
    assert not (whole == 0).any()  # mid grey, the value of no byte
    assert (occluded == 0).sum() == 8 * 8 * 8
    if views == 1:
        assert torch.equal(occluded[occluded != 0], whole[occluded != 0])


@pytest.mark.parametrize("layer", ["y", "fc"])
def test_both_directions_and_the_information_between_views(trainer, layer):
    """The loss is the mean objective of both directions plus the term between the views, recomputed here."""
    given = {"views": 2, "locations": 0, "symmetric": True, "between_views": 0.5, "between_layer": layer}
    built = trainer(**given, between_temperature=0.4)
    seen = []
    built.model.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    step = built.train_step(torch.arange(8))
    again = trainer(**given).model  # with the initial weights
    hidden = []
    again.encoder.fc.register_forward_hook(lambda *reading: hidden.append(reading[-1]))
    (local, y), (other, z) = again.encoder(seen[0].images), again.encoder(seen[0].other)
    assert not torch.equal(local, other)
    both = (again.objective(local, z).loss + again.objective(other, y).loss) / 2
    one, two = hidden if layer == "fc" else (y, z)
    critic, unit = again.between.critic, torch.nn.functional.normalize
    cosines = unit(critic.local_projection(one)) @ unit(critic.global_projection(two)).T / 0.4
    between = (cross_entropy(cosines, torch.arange(8)) + cross_entropy(cosines.T, torch.arange(8))) / 2
    torch.testing.assert_close(step.parts["local"], both.detach())
    torch.testing.assert_close(step.loss.detach(), (both + 0.5 * between).detach())
    assert set(step.parts) == {"local", "between_views"} <= set(built.model.columns)
    one_way = trainer(views=2, locations=0, between_views=0.5).train_step(torch.arange(8))
    assert one_way.parts["local"] != step.parts["local"]


@pytest.mark.parametrize("layer", ["y", "fc"])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("views", [1, 2])
def test_the_local_objective_on_two_maps(trainer, views, symmetric, layer):
    """The map of the last convolution is paired with the globals of the other view as well; recomputed here."""
    given = {
        "views": views,
        "symmetric": symmetric and views == 2,
        "locations": 99,
        "beta_conv": 0.25,
        "conv_global": layer,
    }
    built = trainer(**given)
    seen = []
    built.model.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    step = built.train_step(torch.arange(8))
    again = trainer(**given).model  # with the initial weights
    maps, hidden = [], []
    again.encoder.conv.register_forward_hook(lambda *reading: maps.append(reading[-1]))
    again.encoder.fc.register_forward_hook(lambda *reading: hidden.append(reading[-1]))
    images, other = seen[0].images, seen[0].images if views == 1 else seen[0].other
    (local, y), (_, z) = again.encoder(images), again.encoder(other)
    mine, others = (y, z) if layer == "y" else hidden
    sides = [(maps[0], others), (maps[1], mine)] if given["symmetric"] else [(maps[0], others)]
    coarse = sum(again.coarse(*side) for side in sides) / len(sides)
    assert again.coarse.critic.local_dim == maps[0].shape[1] != local.shape[1]
    torch.testing.assert_close(step.parts["local_conv"], coarse.detach())
    torch.testing.assert_close(step.loss.detach(), step.parts["local"] + 0.25 * coarse.detach())
    assert set(step.parts) == {"local", "local_conv"} <= set(built.model.columns)
    before = again.coarse.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in built.model.coarse.state_dict().items())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"symmetric": True}, "--symmetric/--between-views: expected two views, --views 2; got --views 1"),
        ({"between_views": 1.0}, "--symmetric/--between-views: expected two views"),
        (
            {"between_views": 1.0, "views": 2, "globals": "many", "encoder": "resnet32-crops"},
            "--between-views: expected one global feature, --globals one; got many",
        ),
        ({"between_temperature": 0.0}, "--between-temperature: expected a positive number; got 0"),
        (
            {"conv_global": "fc"},
            "--conv-global fc: expected a weight, --beta-conv 1, and --globals one; got --beta-conv 0",
        ),
        (
            {"conv_global": "fc", "beta_conv": 1.0, "globals": "many", "encoder": "resnet32-crops"},
            "--conv-global fc: expected .* got --beta-conv 1 --globals many",
        ),
        ({"between_layer": "fc", "views": 2}, "--between-layer: expected a weight, --between-views 1; got no"),
    ],
)
def test_terms_of_two_views_need_two_views(trainer, parts, given, said):
    with pytest.raises(parts.errors.BadInput, match=said):
        trainer(**given)


@pytest.mark.parametrize("globals_", ["one", "many"])
def test_an_encoder_on_crops(trainer, globals_):
    built = trainer(encoder="resnet32-crops", globals=globals_, batch=4, coordinates=0.5, gamma=0.1)
    step = built.train_step(torch.arange(4))
    assert step.loss.isfinite()
    assert step.features.global_.ndim == (4 if globals_ == "many" else 2)
    assert set(built.model.information(step.features)) == {"mi", "mi_ceiling"}


def test_an_anchor_reaches_both_maps(trainer, parts):
    built = trainer(anchor=0.5, beta_conv=1.0)
    estimators = [term.estimator for term in (built.model.objective.local_term, built.model.coarse)]
    assert [estimator.anchor for estimator in estimators] == [0.5, 0.5]
    assert built.train_step(torch.arange(8)).loss.isfinite()
    with pytest.raises(parts.errors.BadInput, match="--anchor: expected --estimator infonce; got jsd"):
        trainer(anchor=0.5, estimator="jsd")


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_noise_shapes_what_the_objective_sees_and_not_what_is_kept(trainer, prior):
    built = trainer(prior=prior, prior_noise=0.1, views=2, symmetric=True)
    torch.manual_seed(0)
    seen = []
    built.model.objective.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    step = built.train_step(torch.arange(8))
    assert step.loss.isfinite()
    assert len(seen) == 2
    assert torch.equal(step.features.global_, seen[0])
    assert seen[0].std().item() == pytest.approx(1.0 if prior == "normal" else 0.0, abs=0.3)
    assert set(built.model.information(step.features)) == {"mi", "mi_ceiling"}
    assert not any("noise" in name for name in built.encoder.state_dict())


def test_cpc_reads_an_encoder_by_the_mean_of_its_crops(trainer):
    from dim_training import outcome

    built = trainer(objective="cpc", encoder="resnet32-crops", batch=2)
    step = built.train_step(torch.arange(2))
    assert step.loss.isfinite()
    assert set(built.model.information(step.features)) == {"mi", "mi_ceiling"}
    for encoder in (built.encoder, outcome.untrained(built)):  # both are read in the same way
        local, y = encoder.eval()(torch.zeros(2, built.encoder.input_channels, 32, 32))
        torch.testing.assert_close(y, local.mean((2, 3)))
        assert encoder.global_dim == 1024


def test_labels_train_the_mean_of_many_globals(trainer):
    built = trainer(objective="supervised", encoder="resnet32-crops", globals="many", batch=4)
    assert built.train_step(torch.arange(4)).loss.isfinite()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"occlusion": 1.0}, "--occlusion"),
        ({"coordinates": -1.0}, "--coordinates"),
        ({"activation_penalty": -1.0}, "--activation-penalty"),
        ({"prior_penalty": -1.0}, "--prior-penalty"),
        ({"prior_measure": "wasserstein", "gamma": 1.0}, "--prior-measure wasserstein"),
        ({"prior_noise": 0.5, "gamma": 0.1}, "--prior-noise: expected no --gamma"),
        ({"globals": "many"}, "--encoder/--globals"),
        ({"objective": "nat", "globals": "many"}, "--objective nat"),
        ({"objective": "vae", "encoder": "resnet32-crops"}, "--encoder"),
        ({"objective": "bigan", "encoder": "resnet32-crops"}, "--encoder"),
        ({"objective": "cpc", "encoder": "conv32"}, "--objective cpc"),
        ({"objective": "cpc", "encoder": "resnet32-crops", "globals": "many"}, "--objective cpc"),
        ({"encoder": "alexnet64-crops"}, "--size 64"),
    ],
)
def test_refusals(trainer, given, named):
    from dim_training.errors import BadInput

    with pytest.raises(BadInput, match=named):
        trainer(**given)


def test_the_comparison_of_views_has_as_few_negatives_as_the_rest(trainer):
    built = trainer(views=2, between_views=1.0, negatives=3)
    assert built.model.between.sample_negatives == 3
    assert trainer(views=2, between_views=1.0).model.between.sample_negatives is None
