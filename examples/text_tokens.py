"""
Short texts with padding
========================

An encoder learns from texts of unequal length, without labels. A mask keeps the padding from having any influence.

::

    python examples/text_tokens.py

The texts are docstrings of five installed packages: real prose that needs no download. A text has at most 48 words and
is padded at the end. The local features are the vectors of one half of the words, drawn at random. The global feature
is one vector of the other half. The negatives are words of the other texts of a batch. A classifier on the frozen
vectors is trained with ten labelled texts of each package.

One full run, seed 0: word counts 46.0 %, TF-IDF 55.8 %, TF-IDF and SVD 59.6 %, untrained encoder 32.3 %, trained
encoder 63.8 %. The texts change with the versions of the packages.

A figure is written to runs/text_tokens/.
"""

import argparse
import ast
import importlib.util
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from infomax import LocalDIMLoss, tap
from infomax.evaluation import extract_features

PACKAGES = ("matplotlib", "numpy", "scipy", "sklearn", "torch")
LENGTH, WIDTH, LABELS = 48, 64, 10


def main() -> None:
    """Train an encoder, compare its vectors with the usual ones, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=400, help="texts of each package (default: 400)")
    parser.add_argument("--steps", type=int, default=1500, help="training steps (default: 1500)")
    parser.add_argument("--seed", type=int, default=0, help="of texts, weights and order (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("runs/text_tokens"), help="where the figure goes")
    parser.add_argument("--smoke", action="store_true", help="few texts and steps, to see that it runs")
    options = parser.parse_args()
    if options.smoke:
        options.texts, options.steps = 40, 10
    torch.manual_seed(options.seed)

    texts, label = [], []
    for number, package in enumerate(PACKAGES):
        found = docstrings(package, options.texts, random.Random(options.seed))
        found = [text for text in found if text not in texts]  # some are in two packages
        texts += found
        label += [number] * len(found)
    order = np.random.default_rng(options.seed).permutation(len(texts))
    texts, label = [texts[i] for i in order], np.array(label)[order]
    test = len(texts) // 4  # the first quarter of the texts; neither encoder nor classifier is trained on it
    vocabulary = {
        word: i for i, (word, _) in enumerate(Counter(w for t in texts[test:] for w in t).most_common(3000), 2)
    }
    ids = torch.tensor([[vocabulary.get(word, 1) for word in text] + [0] * (LENGTH - len(text)) for text in texts])

    joined = [" ".join(text) for text in texts]
    counts = CountVectorizer(max_features=3000).fit(joined[test:])
    weighted = TfidfVectorizer(sublinear_tf=True, min_df=2).fit(joined[test:])
    topics = make_pipeline(weighted, TruncatedSVD(min(WIDTH, test), random_state=0)).fit(joined[test:])
    encoder = Encoder(len(vocabulary) + 2)
    vectors = {"raw word counts": counts.transform(joined).toarray(), "untrained encoder": embed(encoder, ids)}
    nats = fit(encoder, ids[test:], options.steps)
    vectors["trained encoder"] = embed(encoder, ids)
    vectors["TF-IDF"] = weighted.transform(joined).toarray()
    vectors["TF-IDF and SVD"] = topics.transform(joined)

    accuracies = {name: classify(values, label, test) for name, values in vectors.items()}
    print(f"\nAccuracy in % with {LABELS} labelled texts per package, mean and standard deviation over 10 draws\n")
    for name, values in accuracies.items():
        print(f"{name:<20}{np.mean(values):>6.1f} ± {np.std(values):.1f}")
    options.out.mkdir(parents=True, exist_ok=True)
    draw(vectors["trained encoder"][:test], label[:test], nats, accuracies).savefig(options.out / "texts.png")
    print(f"\nFigure: {options.out / 'texts.png'}")


# %%
# The texts
# ---------


def docstrings(package: str, number: int, chance: random.Random) -> list[list[str]]:
    """Return the first words of ``number`` docstrings of a package, without the package's name."""
    folder = Path(importlib.util.find_spec(package).origin).parent
    files = sorted(folder.rglob("*.py"))
    chance.shuffle(files)
    found: dict[str, list[str]] = {}
    for file in files:
        if "test" in str(file.relative_to(folder)) or len(found) >= number:
            continue
        for text in documented(ast.parse(file.read_text(encoding="utf-8"))):
            words = [word for word in re.findall(r"[a-z]+", text.lower()) if word != package]
            if len(words) >= 12:
                found[" ".join(words[:LENGTH])] = words[:LENGTH]
    return list(found.values())[:number]


def documented(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    """Yield the docstring of a module, class or function, then those of the classes and functions in it."""
    yield ast.get_docstring(node) or ""
    if not isinstance(node, ast.FunctionDef):
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef):
                yield from documented(child)


# %%
# The encoder
# -----------


class Encoder(nn.Module):
    """An encoder with a vector per word, and a vector per text from the mean of its words, without the padding.

    A transformer can replace it.
    """

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, WIDTH, padding_idx=0)
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        words, real = self.words(ids), (ids > 0).unsqueeze(2)
        return self.head(self.norm((words * real).sum(1) / real.sum(1).clamp(min=1)))


# %%
# Training
# --------
#
# `mask` says which locations are real. Their number may differ from text to text.


def fit(encoder: Encoder, ids: Tensor, steps: int, size: int = 64) -> list[float]:
    """Train the encoder on batches of texts, without labels; return the information in nats, step by step."""
    features = tap(encoder, local="words", global_="head")
    loss_fn = LocalDIMLoss.from_features(features, ids[:2], units=128)
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss_fn.parameters()], lr=3e-3)
    encoder.train()
    nats = []
    for step in range(steps):
        batch = ids[torch.randperm(len(ids))[:size]]
        seen = torch.rand(batch.shape) < 0.5  # the vector of these words has to predict the others
        hidden = batch * ~seen
        scores = loss_fn.scores(features(hidden).local, features(batch * seen).global_, mask=hidden > 0)
        loss = loss_fn.estimator(scores)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        nats.append(float(loss_fn.estimator.mutual_information(scores)))
        if (step + 1) % 250 == 0:
            print(f"step {step + 1}: {np.mean(nats[-100:]):.2f} nats", flush=True)
    return nats


# %%
# What was learnt
# ---------------


def embed(encoder: Encoder, ids: Tensor) -> np.ndarray:
    return extract_features(encoder, {"ids": ids}, {"text": "head"}).features["text"].numpy()


@threadpool_limits.wrap(limits=1)  # on several threads, problems as small as these take many times as long
def classify(vectors: np.ndarray, label: np.ndarray, test: int) -> list[float]:
    """Return accuracies in % on the test texts; a few labelled texts train a classifier and choose its settings."""
    scale = FunctionTransformer(StandardScaler().fit(vectors[test:]).transform)  # needs no labels
    linear = Pipeline([("scale", scale), ("read", LogisticRegression(max_iter=500))])
    choices = {"scale": [scale, "passthrough"], "read__C": [0.01, 1, 100]}
    correct = []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        train = np.concatenate(
            [test + draw.permutation(np.flatnonzero(label[test:] == c))[:LABELS] for c in range(len(PACKAGES))]
        )
        machine = GridSearchCV(linear, choices)
        correct.append(100 * machine.fit(vectors[train], label[train]).score(vectors[:test], label[:test]))
    return correct


def draw(vectors: np.ndarray, label: np.ndarray, nats: list[float], accuracies: dict[str, list[float]]) -> Figure:
    """Draw the information during training, the vectors of the test texts in two dimensions, and the accuracies."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    left.plot(nats, linewidth=0.5)
    left.set(title="words and text", xlabel="step", ylabel="information, nats")
    values = torch.from_numpy(vectors)
    flat, _, _ = torch.pca_lowrank((values - values.mean(0)) / (values.std(0) + 1e-6), q=2, niter=8)
    for number, package in enumerate(PACKAGES):
        middle.scatter(*flat[label == number].T, s=8, label=package)
    middle.set(title="trained vectors", xlabel="two principal components", xticks=[], yticks=[])
    middle.legend(fontsize="small")
    means, deviations = zip(*[(np.mean(found), np.std(found)) for found in accuracies.values()], strict=True)
    right.bar_label(right.barh(list(accuracies), means, xerr=deviations), fmt="%.1f", padding=3)
    right.invert_yaxis()
    right.set(title=f"{LABELS} labels per package", xlabel="test accuracy, %", xlim=(0, 115))
    return figure


# %%
# Run it
# ------


if __name__ == "__main__":
    main()
