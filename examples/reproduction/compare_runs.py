"""Compare several runs of train_dim.py in one table.

    python examples/reproduction/compare_runs.py runs/infonce runs/jsd runs/dv runs/supervised --out runs/table

The table is printed as Markdown; --out PREFIX also writes PREFIX.md, PREFIX.csv and PREFIX.png. The untrained encoder
has its own row, taken from the first run that probed it.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from dim_training import figures, report
from dim_training.command_line import Parser
from dim_training.errors import BadInput
from dim_training.files import read_json, write_text
from dim_training.page import markdown_table
from dim_training.run_folder import write_table


def main(arguments: list[str] | None = None) -> int:
    """Read the runs, print the table, write the files."""
    parser = Parser("compare_runs", __doc__)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folders that train_dim.py wrote")
    parser.add_argument("--out", type=Path, metavar="PREFIX", help="write PREFIX.md, PREFIX.csv and PREFIX.png too")
    parser.add_argument("--smoke", action="store_true", help="train for a few seconds and compare that")
    given = parser.parse_args(arguments)
    try:
        if given.smoke:
            with tempfile.TemporaryDirectory() as folder:
                return smoke(Path(folder))
        compare(given.runs, given.out)
    except BadInput as error:
        print(f"compare_runs: error: {error}", file=sys.stderr)
        return 2
    return 0


def compare(runs: list[Path], out: Path | None) -> None:
    """Print and write a table with one row per run, the untrained encoder first."""
    rows = collect(runs)
    layers = list(dict.fromkeys(layer for row in rows for layer in row["probes"]))
    head = ["encoder", *layers, "minutes", "epochs", "images/s", "MI, nats"]
    cells = [
        [
            row["encoder"],
            *(f"{row['probes'][layer]:.2f}" if layer in row["probes"] else "" for layer in layers),
            *(("" if row[name] is None else format(row[name], spec)) for name, spec in COLUMNS.items()),
        ]
        for row in rows
    ]
    table = markdown_table([head, *cells])
    print(table)
    if out:
        write_text(out.with_name(out.name + ".md"), table + "\n")
        write_table(out.with_name(out.name + ".csv"), tuple(head), [dict(zip(head, row, strict=True)) for row in cells])
        probed = {row["encoder"]: row["probes"] for row in rows if row["probes"]}
        if probed:
            figures.accuracies(probed, out.with_name(out.name + ".png"))
        else:
            print("compare_runs: no run has probes, so there is no picture", file=sys.stderr)


COLUMNS = {"minutes": ".1f", "epochs": ".1f", "images_per_second": ".0f", "mi": ".2f"}


def collect(runs: list[Path]) -> list[dict[str, Any]]:
    """Return the results of each run, under distinct names."""
    if not runs:
        raise BadInput("RUN: expected at least one run folder; got none")
    twice = [str(run) for number, run in enumerate(runs) if run.resolve() in {one.resolve() for one in runs[:number]}]
    if twice:
        raise BadInput(f"RUN: expected each run once; got {', '.join(twice)} again")
    rows: list[dict[str, Any]] = []
    for run in runs:
        path = run / "results.json"
        if not path.exists():
            raise BadInput(f"{run}: expected the folder of a finished run, with results.json; there is none")
        results = read_json(path)
        untrained = results["probes"].get("untrained")
        if untrained and not any(row["encoder"] == "untrained" for row in rows):
            nothing = dict.fromkeys(COLUMNS) | {"minutes": 0.0, "epochs": 0.0}
            rows.insert(0, {"encoder": "untrained", "probes": untrained, **nothing})
        name, training = report.name_of(results["options"]), results["training"]
        measured = {key: training.get(key) for key in ("epochs", "images_per_second", "mi")}
        probes = results["probes"].get("trained", {})
        rows.append({"encoder": name, "run": run, "probes": probes, "minutes": training["seconds"] / 60, **measured})
    names = [row["encoder"] for row in rows]
    for name in {name for name in names if names.count(name) > 1}:
        alike = [row for row in rows if row["encoder"] == name]
        for row, place in zip(alike, told_apart([row["run"] for row in alike]), strict=True):
            row["encoder"] = f"{name} ({place})"
    return rows


def told_apart(runs: list[Path]) -> list[str]:
    """Return the ends of the paths, with as few parts as are needed for no two ends to be the same."""
    parts = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        ends = ["/".join(part[-length:]) for part in parts]
        if len(set(ends)) == len(ends):
            break
    return ends


def smoke(folder: Path) -> int:
    """Make two runs of a few seconds and compare them; return the exit code."""
    import train_dim

    for name, more in (("dim", []), ("supervised", ["--objective", "supervised", "--no-untrained"])):
        code = train_dim.main(["--smoke", "--epochs", "1", "--out", str(folder / name), *more])
        if code:
            return code
    compare([folder / "dim", folder / "supervised"], folder / "table")
    return 0


if __name__ == "__main__":
    sys.exit(main())
