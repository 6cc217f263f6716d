"""Setup shared by all tests and doctests of the repository: random seeds, threads, and the rules for CUDA tests."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

SEED = 0

# Triton reads this variable when kernels are defined, so it is set before any test imports a module with kernels.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

# Workers that each use all cores are slower than workers that divide the cores among them.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    share = max(1, (os.cpu_count() or 1) // workers)
    torch.set_num_threads(share)
    os.environ.setdefault("OMP_NUM_THREADS", str(share))  # for the processes that tests start


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Start every test and doctest from the same random state, whatever ran before it."""
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 (scikit-learn draws from the global state)
    torch.manual_seed(SEED)


@pytest.fixture(autouse=True)
def _leave_torch_as_found() -> Iterator[None]:
    """Restore torch's global settings after each test, so that no test depends on the one before it."""
    dtype, grad, anomaly = torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_anomaly_enabled()
    deterministic = torch.are_deterministic_algorithms_enabled()
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    yield
    torch.set_float32_matmul_precision(precision)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(False)  # a training example turns it on, and torch has no getter for it
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(grad)
    torch.autograd.set_detect_anomaly(anomaly)
    if torch.are_deterministic_algorithms_enabled() != deterministic:  # the setter imports the compiler
        torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, object]) -> None:
    """Let doctests use `torch` without importing it."""
    doctest_namespace["torch"] = torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `cuda` where there is no CUDA device."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


class _CudaTestsRan:
    """A plugin that fails a run which selected CUDA tests but executed none: skipped tests do not count as passed."""

    def __init__(self) -> None:
        self.executed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and "cuda" in report.keywords and not report.skipped:
            self.executed += 1

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.executed == 0 and not session.config.option.collectonly:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            print("\nERROR: CUDA tests were asked for (-m), and not one was executed.")  # noqa: T201


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin `_CudaTestsRan` when the marker expression selects CUDA tests."""
    expression = config.option.markexpr
    if "cuda" in expression and "not cuda" not in expression and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_CudaTestsRan(), "cuda-tests-ran")
