"""The Triton kernels compiled ahead of time for real chips: registers, spills, shared memory, tensor-core instructions.

No GPU is needed. The launch code runs on meta tensors, which have no data. Its launches are recorded instead of made,
and each is compiled with the specialisation that Triton would choose for its arguments: aligned pointers, strides of 1
and multiples of 16.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.harness import RESULTS, table

__all__ = ["CHIPS", "Compiled", "Entry", "add_options", "compiled", "entries", "run"]

CHIPS = {80: 166912, 90: 232448, 100: 232448}
"""The bytes of shared memory that a thread block may use, by compute capability: A100, H100, B200."""

KERNELS = {
    "infomax.ops.triton.launch": ("reduce_kernel", "joint_kernel", "grad_key_kernel", "grad_query_kernel"),
    "infomax.ops.blockwise.passes": (
        "reduce_block_kernel",
        "weigh_block_kernel",
        "read_joint_kernel",
        "weigh_kernel",
        "add_joint_kernel",
    ),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# One width for each distinct entry of the tile tables; larger widths compile to the same kernels. 20 and 100 stand for
# the widths that are no multiple of 16.
DIMS = {"triton": (16, 20, 32, 64, 100, 128, 256, 512), "blockwise": (512, 100)}
_TENSOR_CORE = re.compile(r"\b(wgmma\.mma_async|mma\.sync|tcgen05\.mma)\b")


@dataclass(frozen=True)
class Entry:
    """One configuration of a backend; all its launches are compiled."""

    backend: str
    dtype: str
    dim: int
    reduction: str = "logsumexp"
    bounded: bool = False
    keep: bool = False
    precision: str = "ieee"
    aligned: bool = True

    def __str__(self) -> str:
        words = [self.backend, self.dtype, f"d={self.dim}", self.reduction]
        words += ["clipped"] if self.bounded else []
        words += ["kept"] if self.keep else []
        words += [] if self.precision == "ieee" else [self.precision]
        words += [] if self.aligned else ["odd sizes"]
        return " ".join(words)


@dataclass(frozen=True)
class Compiled:
    """The result of compiling one launch for one chip."""

    kernel: str
    entry: str
    chip: int
    registers: int
    spilled: int
    shared: int
    tensor_core: str

    @property
    def fault(self) -> str | None:
        """The reason why the kernel would be slow or fail to launch (spills, too much shared memory), or None."""
        if self.spilled:
            return f"spills {self.spilled} bytes"
        if self.shared > CHIPS[self.chip]:
            return f"takes {self.shared} bytes of shared memory of {CHIPS[self.chip]}"
        return None


def entries(*, quick: bool = False) -> Iterator[Entry]:
    """Yield the configurations to compile: dtypes, widths, reductions, clipping, kept slopes, odd sizes.

    Args:
        quick: three configurations only.
    """
    if quick:
        yield Entry("triton", "float32", 128)
        yield Entry("blockwise", "bfloat16", 512)
        yield Entry("blockwise", "float32", 512, keep=True)
        return
    for backend, dims in DIMS.items():
        for dtype in DTYPES:
            for dim in dims:
                yield Entry(backend, dtype, dim)
            yield Entry(backend, dtype, 128, aligned=False)
            yield Entry(backend, dtype, 100, "sum")
            yield Entry(backend, dtype, 512, bounded=True)
            for reduction in ("softplus", "sum", "square_sum", "pearson"):
                if dtype != "float16" or reduction in ("softplus", "sum"):
                    yield Entry(backend, dtype, 512, reduction)
        if backend == "triton":
            yield from (Entry(backend, "float32", dim, precision="tf32") for dim in (128, 512))
        else:
            yield Entry(backend, "float32", 512, keep=True)
            yield Entry(backend, "float32", 512, "softplus", bounded=True, keep=True)


def compiled(chosen: Iterable[Entry], chips: Iterable[int] = tuple(CHIPS)) -> Iterator[Compiled]:
    """Compile each launch of each entry once for each chip.

    Raises:
        RuntimeError: ``TRITON_INTERPRET=1`` is set.
    """
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise RuntimeError("kernels cannot be compiled under TRITON_INTERPRET=1; unset it")
    done = set()
    for entry in chosen:
        for launch in _launches(entry):
            for chip in chips:
                if (launch.key, chip) not in done:
                    done.add((launch.key, chip))
                    yield _compile(launch, entry, chip)


class _Launch:
    """A kernel with the arguments of one launch, specialised as Triton would specialise them."""

    def __init__(self, kernel: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.kernel = kernel
        self.options = {name: options.pop(name) for name in ("num_warps", "num_stages") if name in options}
        values = dict(zip(kernel.arg_names, args, strict=False)) | options
        self.signature: dict[str, str] = {}
        self.constants: dict[tuple[int], object] = {}
        self.attributes: dict[tuple[int], list[list[object]]] = {}
        for index, parameter in enumerate(kernel.params):
            value = values[parameter.name]
            if parameter.is_constexpr or value is None or (isinstance(value, int) and value == 1):
                self.signature[parameter.name] = "constexpr"
                self.constants[(index,)] = value
                continue
            self.signature[parameter.name], aligned = _type(value)
            if aligned:
                self.attributes[(index,)] = [["tt.divisibility", 16]]
        self.key = (kernel.__name__, *map(repr, (self.signature, self.constants, self.attributes, self.options)))


def _type(value: object) -> tuple[str, bool]:
    if isinstance(value, Tensor):
        names = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16", torch.int64: "i64"}
        return f"*{names[value.dtype]}", value.storage_offset() * value.element_size() % 16 == 0
    if isinstance(value, int):
        return ("i32" if -(2**31) <= value < 2**31 else "i64"), value % 16 == 0
    if isinstance(value, float):
        return "fp32", False
    raise TypeError(f"a kernel got {value!r}")


class _Recorder:
    """A replacement for a kernel that records launches instead of making them."""

    def __init__(self, kernel: Any, launches: list[_Launch]) -> None:
        self._kernel, self._launches = kernel, launches

    def __getitem__(self, _grid: object) -> Any:
        return lambda *args, **options: self._launches.append(_Launch(self._kernel, args, options))


def _launches(entry: Entry) -> list[_Launch]:
    """Return the launches of a forward and a backward pass on meta tensors."""
    from infomax.ops.dispatch import implementation
    from infomax.ops.problem import Problem

    queries, keys = (1024, 65536) if entry.aligned else (77, 1003)
    with torch.device("meta"):
        query, key = (torch.empty(n, entry.dim, dtype=DTYPES[entry.dtype]) for n in (queries, keys))
        groups = torch.empty(queries, dtype=torch.int64), torch.empty(keys, dtype=torch.int64)
        pairs = torch.empty(keys, dtype=torch.int64), torch.empty(keys, dtype=torch.int64)
        grads = torch.empty(queries), torch.empty(keys)
    bounds = (5.0, 10.0) if entry.bounded else (None, None)
    problem = Problem(query, key, *groups, *pairs, entry.reduction, 0.1, *bounds, 2**29)
    launches: list[_Launch] = []
    with mock.patch.multiple("infomax.ops.triton.launch", precision=lambda _: entry.precision):
        patches = [
            mock.patch(f"{module}.{name}", _Recorder(getattr(importlib.import_module(module), name), launches))
            for module, names in KERNELS.items()
            for name in names
        ]
        for patch in patches:
            patch.start()
        try:
            backend = implementation(entry.backend)
            value, _, saved = backend.forward(problem, entry.keep)
            backend.backward(problem, *grads, value, saved, need_query=True, need_key=True)
        finally:
            for patch in patches:
                patch.stop()
    return launches


def _compile(launch: _Launch, entry: Entry, chip: int) -> Compiled:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(launch.kernel, launch.signature, launch.constants, launch.attributes)
    built = triton.compile(source, target=GPUTarget("cuda", chip, 32), options=launch.options)
    registers, spilled = _assembled(built.asm["ptx"])
    found = sorted(set(_TENSOR_CORE.findall(built.asm["ptx"])))
    return Compiled(
        launch.kernel.__name__, str(entry), chip, registers, spilled, built.metadata.shared, ", ".join(found)
    )


def _assembled(ptx: str) -> tuple[int, int]:
    """Assemble the PTX again, and return the registers and the spilled bytes from the assembler's report."""
    target = re.search(r"\.target (sm_\w+)", ptx)
    if target is None:
        raise ValueError("the PTX names no target")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx)
        command = [str(_assembler(target[1])), "-v", f"--gpu-name={target[1]}", str(path), "-o", str(path) + ".o"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers = re.search(r"Used (\d+) registers", said)
    spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", said)
    if registers is None or spills is None:
        raise ValueError(f"cannot read the assembler's report: {said}")
    return int(registers[1]), max(int(spills[1]), int(spills[2]))


def _assembler(target: str) -> Path:
    import triton

    folder = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    newer = folder / "ptxas-blackwell"
    return newer if target.startswith("sm_1") and newer.exists() else folder / "ptxas"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chips", type=int, nargs="+", choices=CHIPS, default=list(CHIPS), help="compute capabilities")
    parser.add_argument("--check", action="store_true", help="print faults only, and fail if there is one")


def run(options: argparse.Namespace) -> None:
    faults = []
    rows = []
    for result in compiled(entries(quick=options.smoke), options.chips):
        if result.fault:
            faults.append(f"{result.kernel} [{result.entry}] at sm_{result.chip} {result.fault}")
        rows.append({
            "kernel": result.kernel, "first met in": result.entry, "chip": f"sm_{result.chip}",
            "registers": result.registers, "spilled bytes": result.spilled, "shared bytes": result.shared,
            "tensor cores": result.tensor_core or "none",
        })  # fmt: skip
    if not options.check:
        print(table(rows))
    if not (options.check or options.smoke) and set(options.chips) == set(CHIPS):  # the file covers all chips
        import triton

        title = f"Every kernel and table entry, compiled ahead of time by Triton {triton.__version__}; no GPU was used"
        (RESULTS / "kernels.txt").write_text(f"{title}\n\n{table(rows)}\n")
    print(f"{len(rows)} compiled, {len(faults)} with a fault", *faults, sep="\n")
    if options.check and (faults or not rows):
        raise SystemExit(1)
