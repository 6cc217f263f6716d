"""The information of tasks, compared with formulas and averages that share no code with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special, stats

from infomax.mi.tasks import (
    Task,
    additive_noise,
    beyond_normal,
    concentric_gaussians,
    correlated_normal,
    dense_gaussian,
    equal_levels,
    four_clouds,
    function_of,
    gaussian,
    gaussian_mixture,
    gaussian_nats,
    independent,
    inliers,
    log_gamma_exponential,
    mixtures,
    more_tasks,
    mutinfo_grid,
    noisy_sine,
    noisy_square,
    quantized,
    smoothed_discrete,
    smoothed_uniform,
    sparse_gaussian,
    strong,
    student_t,
    transformed,
)

# Values of benchmark-mi 0.1.3.
PUBLISHED = {
    "1v1-normal-0.75": 0.41333928659223396,
    "1v1-additive-0.1": 1.7094379663467407,
    "1v1-additive-0.75": 1 / 3,
    "1v1-bimodal-0.75": 0.41333928659223396,
    "student-identity-1-1-1": 0.22417142752923613,
    "student-identity-2-2-1": 0.43194562200144127,
    "asinh-student-identity-3-3-2": 0.29092192268276484,
    "student-identity-5-5-3": 0.29854362265275824,
    "swissroll_x-normal_cdf-1v1-normal-0.75": 0.41333928659223396,
    "multinormal-dense-50-50-0.5": 1.6242653743036897,
    "spiral-normal_cdf-multinormal-sparse-25-25-2-2.0": 1.0216512475319774,
}


def test_names_and_information_are_those_published() -> None:
    tasks = beyond_normal()
    assert len(tasks) == 40
    assert {name: tasks[name].nats for name in PUBLISHED} == pytest.approx(PUBLISHED, rel=1e-6)


ALL = [task for tasks in (beyond_normal, more_tasks, mixtures, mutinfo_grid, strong) for task in tasks().values()]
ALL += [noisy_square(), noisy_sine()]


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.name)
def test_samples_have_the_dimensions_named_and_a_seed_of_their_own(task) -> None:
    x, y = task.sample(20, seed=1)
    assert (x.shape, y.shape) == ((20, task.dims[0]), (20, task.dims[1]))
    assert x.isfinite().all()
    assert y.isfinite().all()
    assert torch.equal(task.sample(20, seed=1)[0], x)
    assert not torch.equal(task.sample(20, seed=2)[0], x)


def test_student_t_is_the_mean_of_scipys_log_density_ratio() -> None:
    task = student_t(2, 1, dof=3)
    x, y = task.sample(40_000, seed=0)
    densities = [
        stats.multivariate_t(shape=np.eye(part.shape[1]), df=3).logpdf(part.numpy())
        for part in (torch.cat([x, y], 1), x, y)
    ]
    ratio = densities[0] - densities[1] - densities[2]
    assert task.nats == pytest.approx(ratio.mean(), abs=4 * ratio.std() / 200)


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 0.75])
def test_additive_noise_is_the_entropy_of_the_sum_less_that_of_the_noise(epsilon: float) -> None:
    y = np.linspace(-epsilon, 1 + epsilon, 200_001)
    density = (np.minimum(1, y + epsilon) - np.maximum(0, y - epsilon)) / (2 * epsilon)
    inner = density[density > 0]
    entropy = -(inner * np.log(inner)).sum() * (y[1] - y[0])
    assert additive_noise(epsilon).nats == pytest.approx(entropy - math.log(2 * epsilon), abs=1e-4)


def test_a_mixture_says_how_well_it_knows() -> None:
    task = four_clouds()
    assert 0 < task.error < 0.01
    sign = torch.tensor([[0.45, 0.05], [0.05, 0.45]])  # clouds without width: a little more information
    ceiling = float((sign * (sign / 0.25).log()).sum())
    assert ceiling - 0.08 < task.nats < ceiling


def test_a_covariance_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="positive definite"):
        gaussian(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), 1)
    with pytest.raises(ValueError, match="dim_x must be between 1 and 1"):
        gaussian(torch.eye(2), 2)
    for broken in (torch.zeros(2, 2), torch.full((2, 2), -1.0)):
        with pytest.raises(ValueError, match="positive definite"):
            gaussian_nats(broken, 1)
    with pytest.raises(ValueError, match=r"covariance must have shape \(dx \+ dy, dx \+ dy\), got \(2, 3\)"):
        gaussian(torch.eye(3)[:2], 1)
    with pytest.raises(TypeError, match="covariance must be"):
        gaussian_nats("x", 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="dim_x must be an integer"):
        gaussian(torch.eye(2), 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [1.5, "3", None, [2], 1j, torch.tensor(0.5), math.nan], ids=repr)
def test_sizes_that_are_no_integers_are_refused(bad: Any) -> None:
    for build, name in (
        (lambda: independent(bad, 2), "dim_x"),
        (lambda: independent(2, bad), "dim_y"),
        (lambda: sparse_gaussian(bad, 2), "dim_x"),
        (lambda: concentric_gaussians(bad), "dim"),
        (lambda: independent(1, 1).sample(4, seed=bad), "seed"),
        (lambda: independent(1, 1).sample(bad, seed=0), "rows"),
    ):
        with pytest.raises(TypeError, match=f"{name} must be an integer"):
            build()


def test_samples_and_maps_that_are_none_are_refused() -> None:
    task = dense_gaussian(1, 1)
    with pytest.raises(ValueError, match="rows must be at least 1"):
        task.sample(0, seed=0)
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed must be between 0 and"):
            task.sample(4, seed=seed)
    assert torch.equal(task.sample(4, seed=np.int64(3))[0], task.sample(4, seed=3)[0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="task must be a Task"):
        transformed(3, "x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="of_y must be a function of rows"):
        transformed(task, "x", None, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="strength must be a number"):
        sparse_gaussian(2, 2, strength="2")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="correlation must be a number"):
        dense_gaussian(2, 2, None)  # type: ignore[arg-type]


MEANS, ROUND = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.eye(2).repeat(2, 1, 1)


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"means": [[0.0, 1.0]]}, TypeError, "means must be a torch.Tensor, got list"),
        ({"means": MEANS.long()}, TypeError, "means must have a real floating dtype"),
        ({"means": MEANS[0]}, ValueError, r"means must have shape \(components, dx \+ dy\), got \(2,\)"),
        ({"means": MEANS[:0]}, ValueError, "means must have shape"),
        ({"means": MEANS * math.nan}, ValueError, "means must be finite"),
        ({"means": MEANS.to("meta")}, ValueError, "means must hold values"),
        ({"covariances": ROUND[0]}, ValueError, r"covariances must have shape \(2, dx \+ dy, dx \+ dy\), got \(2, 2\)"),
        (
            {"covariances": torch.eye(3).repeat(2, 1, 1)},
            ValueError,
            r"covariances must have shape \(2, 2, 2\) to",
        ),
        ({"covariances": ROUND + torch.diag(torch.tensor([math.inf, 0.0]))}, ValueError, "covariances must be finite"),
        ({"covariances": torch.stack([ROUND[0], -ROUND[0]])}, ValueError, "covariances must be symmetric and positive"),
        ({"weights": torch.tensor([0.5])}, ValueError, "weights must be 2 shares that sum to 1"),
        ({"weights": torch.tensor([0.5, 0.6])}, ValueError, r"weights must be 2 shares that sum to 1, got \[0.5, 0.6"),
        ({"weights": torch.tensor([1.5, -0.5])}, ValueError, "weights must be 2 shares that sum to 1"),
        ({"weights": torch.tensor([math.nan, 1.0])}, ValueError, "weights must be finite"),
        ({"dim_x": 2}, ValueError, "dim_x must be between 1 and 1"),
        ({"draws": 1}, ValueError, "draws must be at least 2, got 1"),
        ({"draws": 1e3}, TypeError, "draws must be an integer"),
    ],
    ids=repr,
)
def test_invalid_mixtures_are_refused(given: dict[str, Any], kind: type[Exception], said: str) -> None:
    plain: dict[str, Any] = {"means": MEANS, "covariances": ROUND, "dim_x": 1, "draws": 100, "name": "two"}
    assert gaussian_mixture(**plain).dims == (1, 1)
    with pytest.raises(kind, match=said):
        gaussian_mixture(**(plain | given))


def test_invalid_maps_and_waves_are_refused() -> None:
    with pytest.raises(TypeError, match="of_x must be a function of rows"):
        function_of("f", (), None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="of_y must be a function of rows"):
        function_of("f", None, "exp")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="waves must be finite"):
        noisy_sine(waves=math.inf)


def test_no_covariance_has_less_than_no_information() -> None:
    """Rounding gave -0.0 and -1e-17 for diagonal covariances."""
    for seed in range(100):
        diagonal = torch.rand(3, generator=torch.Generator().manual_seed(seed)) + 0.1
        assert not str(gaussian(diagonal.diag(), 1).nats).startswith("-")


@pytest.mark.filterwarnings("error")
def test_a_covariance_may_be_trained() -> None:
    """Torch warned that a tensor with a gradient became a number."""
    covariance = torch.tensor([[1.0, 0.6], [0.6, 1.0]], requires_grad=True)
    assert gaussian(covariance, 1).nats == pytest.approx(-0.5 * math.log(1 - 0.36))
    assert not gaussian(covariance, 1).sample(3, seed=0)[0].requires_grad


def mixture_ratio(parts: list[tuple[float, np.ndarray, np.ndarray]], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the log density ratio of a mixture of Gaussians, by scipy's densities."""
    dim = x.shape[1]

    def log_density(rows: np.ndarray, side: slice) -> np.ndarray:
        return special.logsumexp(
            [
                math.log(share) + stats.multivariate_normal(mean[side], covariance[side, side]).logpdf(rows)
                for share, mean, covariance in parts
            ],
            axis=0,
        )

    whole = np.concatenate([x, y], 1)
    return log_density(whole, slice(None)) - log_density(x, slice(dim)) - log_density(y, slice(dim, None))


def two_signs(correlation: float) -> np.ndarray:
    return np.array([[1, correlation], [correlation, 1]])


def stroke(mean: tuple[float, float], variance: tuple[float, float], correlation: float = 0.0):
    shared = correlation * math.sqrt(variance[0] * variance[1])
    return 1 / 6, np.array(mean), np.array([[variance[0], shared], [shared, variance[1]]])


def with_inliers(share: float, dim: int):
    signal = np.eye(2 * dim)
    for i in (0, 1):
        signal[i, dim + i] = signal[dim + i, i] = 0.8
    return [(1 - share, np.zeros(2 * dim), signal), (share, np.zeros(2 * dim), np.eye(2 * dim))]


def rings(dim: int):
    return [(0.2, np.r_[np.zeros(dim), i], np.diag([i**2] * dim + [1e-4])) for i in range(1, 6)]


# The mixtures as the papers describe them, written independently of the library.
PARTS = {
    "1v1-X-0.9": [(0.5, np.zeros(2), two_signs(0.9)), (0.5, np.zeros(2), two_signs(-0.9))],
    "1v1-AI": [
        stroke((1, 0), (0.01, 0.2)),
        stroke((1, 1), (0.05, 0.001)),
        stroke((1, -1), (0.05, 0.001)),
        stroke((-0.8, -0.2), (0.03, 0.001)),
        stroke((-1.2, 0), (0.04, 0.2), 0.95),
        stroke((-0.4, 0), (0.04, 0.2), -0.95),
    ],
    "2v1-waves-12-5.0-3.0": [
        (1 / 12, np.array([1.5 * i, 0, 1.5 * (i % 4)]), np.diag([0.1, 1, 0.1])) for i in range(12)
    ],
    "2v1-galaxy-0.5-3.0": [(0.5, np.full(3, side), np.eye(3)) for side in (-1.5, 1.5)],
    **{f"{dim}v1-concentric_gaussians-5": rings(dim) for dim in (3, 5, 25)},
    **{f"mult-sparse-w-inliers-{d}-{d}-2-2.0-{q}": with_inliers(q, d) for d in (5, 25) for q in (0.2, 0.5)},
}


def unbent(name: str, x: np.ndarray) -> np.ndarray:
    """Undo the map that the task applies to x of the mixture."""
    if "waves" in name:
        second = x[:, 1] / 0.5
        return np.stack([(x[:, 0] + 0.8) / 0.1 - 5 * np.sin(3 * second), second], 1)
    if "galaxy" in name:
        back = (x[:, 0] + 1j * x[:, 1]) * np.exp(-0.5j * (x**2).sum(1))
        return np.stack([back.real, back.imag], 1)
    return x


@pytest.mark.parametrize("name", PARTS)
def test_the_stored_information_of_a_mixture_is_the_mean_of_scipys_log_density_ratio(name: str) -> None:
    task = mixtures()[name]
    x, y = task.sample(40_000, seed=3)
    ratio = mixture_ratio(PARTS[name], unbent(name, x.numpy()), y.numpy())
    assert 0 < task.error < 0.001
    assert task.nats == pytest.approx(ratio.mean(), abs=4 * (ratio.std() / 200 + task.error))


def test_every_mixture_of_the_catalogue_is_checked() -> None:
    assert set(PARTS) == set(mixtures())


def test_a_mixture_whose_information_is_given_is_not_averaged() -> None:
    one = gaussian_mixture(torch.zeros(2, 2), torch.eye(2).repeat(2, 1, 1), 1, name="known", known=(0.25, 0.001))
    assert (one.nats, one.error) == (0.25, 0.001)


def of_normal(x: np.ndarray, y: np.ndarray) -> float:
    return -0.5 * math.log1p(-(np.corrcoef(x, y)[0, 1] ** 2))


def of_log_gamma_exponential(x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean log density ratio. exp(x + y) is exponential; exp(y) has Lomax's density with the best shape."""
    assert stats.kstest(np.exp(x + y), stats.expon.cdf).pvalue > 1e-3
    shape = 1 / np.logaddexp(0, y).mean()
    given = (x + y) - np.exp(x + y)
    return np.mean(given - (math.log(shape) + y - (shape + 1) * np.logaddexp(0, y)))


def of_smoothed_uniform(x: np.ndarray, y: np.ndarray) -> float:
    width = (y - x).max()
    inside = np.linspace(0, 1 + width, 1_000_001)
    density = (np.minimum(inside, 1) - np.maximum(inside - width, 0)) / width
    return special.entr(density).mean() * (1 + width) - math.log(width)


def of_quantized(x: np.ndarray, y: np.ndarray) -> float:
    order = y[np.argsort(x)]
    assert (np.diff(order) >= 0).all()  # each class is an interval of x
    return stats.entropy(np.unique(y, return_counts=True)[1])


def of_smoothed_discrete(x: np.ndarray, y: np.ndarray) -> float:
    levels, width = np.arange(x.max() + 1), (y - x).max()
    edges = np.unique(np.r_[levels, levels + width])
    middles = (edges[1:] + edges[:-1]) / 2
    density = ((levels <= middles[:, None]) & (middles[:, None] < levels + width)).sum(1) / (len(levels) * width)
    return (special.entr(density) * np.diff(edges)).sum() - math.log(width)


FAMILIES = {
    correlated_normal: of_normal,
    log_gamma_exponential: of_log_gamma_exponential,
    smoothed_uniform: of_smoothed_uniform,
    quantized: of_quantized,
    smoothed_discrete: of_smoothed_discrete,
}


@pytest.mark.parametrize("nats", [0.3, 1.0, 3.0, 5.0])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_a_family_has_the_information_asked_for(family, nats: float) -> None:
    task = family(nats)
    x, y = (side.numpy().ravel() for side in task.sample(100_000, seed=5))
    assert task.nats == nats
    assert FAMILIES[family](x, y) == pytest.approx(nats, abs=0.02)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_pairs_of_coordinates_add_up_and_are_independent_of_each_other(family) -> None:
    task = family(0.5, 2.0)
    x, y = (side.numpy() for side in task.sample(100_000, seed=6))
    assert (task.nats, task.dims) == (2.5, (2, 2))
    for column, nats in enumerate((0.5, 2.0)):
        assert FAMILIES[family](x[:, column], y[:, column]) == pytest.approx(nats, abs=0.02)
    for first, second in ((x[:, 0], x[:, 1]), (y[:, 0], y[:, 1]), (x[:, 0], y[:, 1])):
        assert abs(stats.spearmanr(first, second).statistic) < 0.02


def test_a_logarithm_of_a_gamma_variable_does_not_underflow_where_the_variable_does() -> None:
    x, y = log_gamma_exponential(8.0).sample(20_000, seed=0)
    assert x.isfinite().all()
    assert y.isfinite().all()
    assert of_log_gamma_exponential(x.numpy().ravel(), y.numpy().ravel()) == pytest.approx(8.0, abs=0.1)


def test_the_grid_shares_the_information_at_random_and_turns_normal_coordinates() -> None:
    tasks = mutinfo_grid(seed=1)
    assert len(tasks) == 60
    x, y = (side.numpy() for side in tasks["normal-3-3-3"].sample(100_000, seed=2))
    assert np.cov(x.T) == pytest.approx(np.eye(3), abs=0.02)
    cross = np.corrcoef(x.T, y.T)[:3, 3:]
    canonical = np.linalg.svd(cross)[1]
    volumes = [np.linalg.slogdet(np.cov(part.T))[1] for part in (x, y, np.concatenate([x, y], 1))]
    assert 0.5 * (volumes[0] + volumes[1] - volumes[2]) == pytest.approx(3, abs=0.02)
    assert np.ptp(canonical) > 0.05  # the directions have unequal shares of the information
    assert np.abs(cross).min() > 1e-3  # every coordinate of y depends on every coordinate of x
    other = mutinfo_grid(seed=2)["normal-3-3-3"].sample(10, seed=2)[1]
    assert not np.allclose(other.numpy(), y[:10])


@pytest.mark.parametrize("task", [noisy_square(0.5), noisy_sine(0.3), noisy_sine(0.1, waves=1.0)], ids=str)
def test_a_noisy_function_has_the_entropy_of_y_less_that_of_the_noise(task) -> None:
    kind, *waves, noise = task.name.split("-")
    noise = float(noise)
    x, y = (side.numpy().ravel() for side in task.sample(500, seed=1))
    if kind == "square":
        nodes, function = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000), np.square
    else:
        nodes, function = np.random.default_rng(0).random(10_000), lambda t: np.sin(2 * np.pi * float(waves[0]) * t)
    density = [stats.norm.pdf(value, function(nodes), noise).mean() for value in y]
    ratio = stats.norm.logpdf(y, function(x), noise) - np.log(density)
    assert task.nats == pytest.approx(ratio.mean(), abs=4 * ratio.std() / math.sqrt(500))


def test_levels_and_functions() -> None:
    x, y = equal_levels(200).sample(100_000, seed=0)
    assert torch.equal(x, y)
    assert stats.entropy(np.unique(x, return_counts=True)[1]) == pytest.approx(equal_levels(200).nats, abs=0.002)
    cube = function_of("cube", of_y=lambda x: x**3)
    x, y = cube.sample(10, seed=0)
    assert torch.equal(x**3, y)
    assert cube.nats == math.inf


@pytest.mark.parametrize(("name", "nats"), [("1-1-8", 8.0), ("20-20-10", 10.0), ("64-64-22", 32 * math.log(2))])
def test_strong_gaussians_have_the_information_named(name: str, nats: float) -> None:
    task = strong()[f"multinormal-{name}"]
    x, y = (side.numpy() for side in task.sample(20_000, seed=0))
    of_columns = [of_normal(x[:, i], y[:, i]) for i in range(x.shape[1])]
    assert task.nats == pytest.approx(nats)
    assert sum(of_columns) == pytest.approx(nats, rel=0.02)


def test_tasks_of_unknown_information_are_refused() -> None:
    with pytest.raises(ValueError, match="dim must be one of 3, 5, 25, got 4"):
        concentric_gaussians(4)
    with pytest.raises(ValueError, match=r"share must be one of 0\.2, 0\.5, got 0\.3"):
        inliers(5, 0.3)
    with pytest.raises(ValueError, match="dim must be at least 2"):
        inliers(1, 0.2)
    with pytest.raises(
        ValueError, match="nats must be from 1e-06 to 14 for every pair of coordinates of quantized, got 0"
    ):
        quantized(1.0, 0)
    with pytest.raises(ValueError, match="smoothed_uniform needs the nats of at least one pair"):
        smoothed_uniform()
    with pytest.raises(ValueError, match="from 1e-06 to 14 for every pair of coordinates of quantized, got 15"):
        quantized(15.0)
    with pytest.raises(ValueError, match="noise must be positive"):
        noisy_sine(0.0)
    with pytest.raises(ValueError, match=r"noise must be at least 0\.\d+, the distance of nodes, got 0.0001"):
        noisy_square(1e-4)  # with 4,000 nodes, the result would be 6.2 nats instead of about 8.6


@pytest.mark.parametrize(
    "family", [correlated_normal, log_gamma_exponential, smoothed_uniform, quantized, smoothed_discrete]
)
@pytest.mark.parametrize("nats", [1e-6, 14.0])
def test_families_at_the_ends_of_their_range(family: Callable[..., Task], nats: float) -> None:
    """Both ends of the range give finite samples."""
    x, y = family(nats).sample(100, seed=0)
    assert x.double().isfinite().all()
    assert y.double().isfinite().all()


@pytest.mark.parametrize(
    "family", [correlated_normal, log_gamma_exponential, smoothed_uniform, quantized, smoothed_discrete]
)
@pytest.mark.parametrize("nats", [1e-13, 50.0])
def test_families_refuse_what_they_cannot_sample(family: Callable[..., Task], nats: float) -> None:
    """`quantized(1e-13)` divided by 0, and `log_gamma_exponential(50)` drew samples of 39 nats."""
    with pytest.raises(ValueError, match="nats must be from 1e-06 to"):
        family(nats)


def test_the_gamma_family_has_its_information_where_it_is_large() -> None:
    """Compare with the mean log density ratio of samples: e^y given x is exponential, and e^y alone is Lomax."""
    nats = 30.0
    x, y = (side.double() for side in log_gamma_exponential(nats).sample(20_000, seed=0))
    # For tiny a, psi(1 + a) - log a = nats gives a, and e^y has the density a (1 + e^y)^-(1 + a).
    shape = math.exp(-nats + float(torch.digamma(torch.tensor(1.0))))
    ratio = x - (x + y).exp() - math.log(shape) + (1 + shape) * torch.nn.functional.softplus(y)
    assert float(ratio.mean()) == pytest.approx(nats, abs=0.2)
