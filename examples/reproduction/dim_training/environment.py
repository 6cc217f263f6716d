"""The environment in which the results of a run were made: device, versions, commit."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch


def environment(device: torch.device) -> dict[str, str]:
    """Return names and values for results.json and the report; unknown ones are left out."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    found = {"device": name, "python": platform.python_version(), "torch": torch.__version__}
    for package in ("infomax", "torchvision"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    at = commit()
    return found | ({"commit": at} if at else {})


def commit() -> str:
    """Return the commit of the running code, marked if files were changed since; empty outside a repository."""
    git = ["git", "-C", str(Path(__file__).resolve().parents[3])]
    try:
        name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        status = subprocess.run(
            [*git, "status", "--porcelain", "--", "src", "examples"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return name.stdout.strip() + (" with changes" if status.stdout.strip() else "")
