"""Every option of a run, in one dataclass; the command line, ``config.json`` and ``--resume`` are derived from it."""

from dataclasses import dataclass, field
from typing import Any

from .recipes import RECIPES

DATASETS = ("cifar10", "cifar100", "stl10", "fashion-mnist", "folder", "digits")
ESTIMATORS = (
    "infonce",
    "jsd",
    "dv",
    "nwj",
    "smile",
    "mine",
    "tuba",
    "alpha_tuba",
    "kl",
    "hellinger",
    "chi2",
    "gan",
)
OBJECTIVES = ("dim", "supervised", "autoencoder", "vae", "nat", "bigan", "cpc")
PRIOR_MEASURES = ("gan", "jsd", "dv", "kl", "rkl", "hellinger", "chi2", "wasserstein")
MEASURES = ("probes", "linear", "knn", "svm", "semi", "msssim", "mine", "ndm", "neighbours")
LARGEST = 2**31 - 1
LARGEST_SIDE = 4096  # all images are held in memory
MOST_THREADS = 1024  # OpenMP ends the process if it cannot allocate what so many threads need
CRITICS = ("dot", "concat", "bilinear", "cosine")
OPTIMIZERS = ("adamw", "muon")


def option(default: Any, group: str, text: str, *, choices: Any = None, free: bool = False) -> Any:
    """Return a field with a help text; ``free`` marks an option that may change when a run is resumed."""
    return field(default=default, metadata={"group": group, "help": text, "choices": choices, "free": free})


@dataclass(frozen=True)
class Options:
    """The options of one run. They do not change during the run; ``--resume`` reads them from the run folder."""

    data: str = option("cifar10", "most used", "data set, or `folder` for images of your own", choices=DATASETS)
    root: str = option(
        "data", "most used", "where the data are: a folder, or with --data folder also a .zip", free=True
    )
    size: int = option(0, "most used", "resize and centre-crop images to this many pixels; 0: as they are")
    minutes: float = option(0.0, "most used", "training time, probes not counted; the schedule follows the share used")
    batch: int = option(256, "most used", "images per step")
    out: str = option("", "most used", "run folder; empty: runs/DATA-OBJECTIVE-SEED", free=True)

    recipe: str = option("fast", "run", "named settings to start from", choices=tuple(RECIPES))
    seed: int = option(0, "run", "seed of weights, order of images and augmentation")
    epochs: float = option(0.0, "run", "passes over the images; 0: use --minutes")
    start_from: str = option(
        "", "run", "folder of a run on the same images: begin with its weights, for another cycle of the rate"
    )
    max_steps: int = option(0, "run", "stop after this many steps, whatever else is asked; 0: no limit")

    test_root: str = option("", "data", "--data folder: test images; empty: hold some of --root out", free=True)
    holdout: float = option(0.1, "data", "--data folder without --test-root: share of images held out")
    download: bool = option(False, "data", "let torchvision download the data set to --root", free=True)
    crop: int = option(0, "data", "train on random crops of this many pixels, test on the centre; 0: whole images")
    train_images: int = option(0, "data", "use only this many training images; 0: all")
    test_images: int = option(0, "data", "use only this many test images; 0: all")
    validation: int = option(
        0,
        "data",
        "measure on this many training images, left out of the training, to choose settings by; 0: test images",
    )
    cache: str = option("runs/cache", "data", "where decoded image folders are kept; empty: nowhere", free=True)
    skip_bad: bool = option(False, "data", "--data folder: leave out images that cannot be decoded")
    value_range: str = option(
        "", "data", "--data folder: LOW,HIGH of 16-bit, 32-bit and float images, to be black and white; 16-bit: 0,65535"
    )
    workers: int = option(4, "data", "threads that decode an image folder", free=True)

    views: int = option(1, "augmentation", "2: locals of one random view, globals of another", choices=(1, 2))
    symmetric: bool = option(
        False, "augmentation", "--views 2: locals of the second view and globals of the first, too"
    )
    pad: int = option(0, "augmentation", "random shifts: reflect-pad by this many pixels, crop back")
    flip: bool = option(False, "augmentation", "random horizontal flips")
    area: float = option(1.0, "augmentation", "random zoom to a window of at least this share of the image")
    jitter: float = option(0.0, "augmentation", "strength of random brightness, contrast, saturation and hue")
    grey: float = option(0.0, "augmentation", "share of images turned grey")
    occlusion: float = option(0.0, "augmentation", "hide a block of this share of the side from the global's image")

    objective: str = option("dim", "objective", "Deep InfoMax, or a baseline for the same encoder", choices=OBJECTIVES)
    encoder: str = option(
        "auto",
        "objective",
        "conv28, conv32, conv64, alexnet64, wide32, resnet32-crops or alexnet64-crops; auto: by image size",
    )
    globals: str = option("one", "objective", "global features of an encoder on crops", choices=("one", "many"))
    dim: int = option(64, "objective", "units of the global feature y")
    alpha: float = option(0.0, "objective", "weight of the global objective, DIM(G)")
    beta: float = option(1.0, "objective", "weight of the local objective, DIM(L)")
    beta_conv: float = option(0.0, "objective", "weight of the same on the coarser map of the last convolution")
    conv_global: str = option("y", "objective", "the layer that --beta-conv scores it with", choices=("y", "fc"))
    gamma: float = option(0.0, "objective", "weight of the prior term")
    prior: str = option("uniform", "objective", "what y is to be distributed like", choices=("uniform", "normal"))
    prior_measure: str = option(
        "gan", "objective", "how far from it the discriminator measures", choices=PRIOR_MEASURES
    )
    prior_penalty: float = option(0.0, "objective", "weight of the discriminator's gradient penalty")
    prior_noise: float = option(
        0.0, "objective", "noise on y that shapes it as --prior says, without a discriminator: 0.5 normal, 0.05 uniform"
    )
    coordinates: float = option(0.0, "objective", "weight of predicting a location's row and column")
    relative_coordinates: float = option(0.0, "objective", "weight of predicting the way from one location to another")
    between_views: float = option(0.0, "objective", "--views 2: weight of the information between the two views")
    between_layer: str = option("y", "objective", "the layer that --between-views compares", choices=("y", "fc"))
    between_temperature: float = option(0.1, "objective", "temperature of the cosine critic of --between-views")
    activation_penalty: float = option(0.0, "objective", "weight of the mean squared length of y")
    estimator: str = option("infonce", "objective", "bound that is maximised", choices=ESTIMATORS)
    anchor: float = option(
        0.0, "objective", "--estimator infonce: weight of a class for no joint local; 0: no such class"
    )
    critic: str = option("dot", "objective", "what scores a (local, global) pair", choices=CRITICS)
    units: int = option(256, "objective", "units of the space in which the critic compares")
    scale: float = option(0.0, "objective", "factor of the scores of a dot or bilinear critic; 0: its own default")
    locations: int = option(0, "objective", "score a random subset of this many locations per image; 0: all")
    negatives: int = option(0, "objective", "score against this many other images only; 0: all in the batch")

    optimizer: str = option(
        "adamw", "optimiser", "muon: orthogonal steps for most matrices and kernels", choices=OPTIMIZERS
    )
    lr: float = option(1e-3, "optimiser", "peak learning rate")
    weight_decay: float = option(0.0, "optimiser", "decoupled weight decay of matrices and kernels")
    beta2: float = option(0.999, "optimiser", "decay of AdamW's second moment")
    warmup: float = option(0.2, "optimiser", "share of the run over which the rate rises linearly")
    schedule: str = option(
        "cosine", "optimiser", "how the rate falls after --warmup", choices=("cosine", "linear", "constant")
    )
    ema: float = option(0.0, "optimiser", "decay of an average of the weights, kept as the encoder; 0: none")

    device: str = option("auto", "machine", "cpu, cuda, cuda:1, mps; auto: cuda where there is one", free=True)
    threads: int = option(0, "machine", "CPU threads; 0: torch's choice", free=True)
    bf16: bool = option(
        False, "machine", "autocast the step to bfloat16; most recipes do so on CPUs with instructions for it"
    )
    compile: bool = option(False, "machine", "torch.compile the step", free=True)

    log_every: int = option(50, "reporting", "steps per row of metrics.csv")
    checkpoint_every: int = option(0, "reporting", "steps between checkpoints, besides one per epoch", free=True)
    quick_probes: int = option(
        0, "reporting", "quick probes spread evenly over the run, after one at its start; 0: none", free=True
    )
    probe_images: int = option(5000, "reporting", "labelled images of a quick probe", free=True)
    probe_epochs: int = option(15, "reporting", "epochs of the final 200-unit probe", free=True)
    probe_tuning: int = option(
        0,
        "reporting",
        "labelled training images to choose the final probe's learning rate and weight decay on; 0: no choice",
        free=True,
    )
    measures: str = option(
        "probes,neighbours",
        "reporting",
        f"what the finished encoder is measured by, with commas: {', '.join(MEASURES)}; or all",
        free=True,
    )
    measure_images: int = option(
        10000, "reporting", "training images that msssim, mine and ndm learn from; 0: all", free=True
    )
    measure_epochs: int = option(8, "reporting", "epochs of the decoder of msssim and the critic of mine", free=True)
    semi_labels: int = option(5000, "reporting", "labelled images that semi fine-tunes with; 0: all", free=True)
    semi_epochs: int = option(15, "reporting", "epochs of semi", free=True)
    untrained: bool = option(True, "reporting", "measure the untrained encoder too", free=True)
    supervised_baseline: bool = option(
        False, "reporting", "then train the same encoder with labels for as long, in RUN/supervised", free=True
    )


def flag_of(name: str) -> str:
    """Return the command-line flag of a field."""
    return "--" + name.replace("_", "-")


def requested(options: Options) -> tuple[str, ...]:
    """Return the requested measures in the order of `MEASURES`; unknown names come last."""
    names = [name.strip() for name in options.measures.split(",") if name.strip()]
    if names == ["all"]:
        return MEASURES
    return tuple(sorted(dict.fromkeys(names), key=lambda name: MEASURES.index(name) if name in MEASURES else 99))
