"""How to use an encoder's weights elsewhere: encoder.json, which describes them, and code that loads both files."""

import hashlib
from typing import Any

from .options import Options


def card(options: Options, channels: int, side: int, weights: bytes) -> dict[str, Any]:
    """Return the name, the sizes and the input format of an encoder, and the checksum of encoder.pt, its weights."""
    return {
        "encoder": options.encoder,
        "input_channels": channels,
        "input_size": side,
        "global_dim": options.dim,
        "globals": options.globals,
        "input": "(N, channels, height, width), float; bytes 0 to 255 scaled to [-1, 1]: bytes / 127.5 - 1",
        "objective": options.objective,
        "trained_on": options.data,
        "sha256": hashlib.sha256(weights).hexdigest(),
    }


def snippet(options: dict[str, Any]) -> str:
    """Return Python code that loads the encoder of a run folder; the report shows it for copying."""
    cpc = options["objective"] == "cpc"  # which trains no layer above the crops
    lines = [
        "import hashlib",
        "import io",
        "import json",
        "from pathlib import Path",
        "",
        "import torch",
        "from infomax import encoders",
        "",
        'card = json.loads(Path("encoder.json").read_text())',
        "encoder = encoders.build(",
        '    card["encoder"], input_channels=card["input_channels"],',
        '    global_dim=card["global_dim"], globals_=card["globals"],',
        ")",
        'weights = Path("encoder.pt").read_bytes()',
        'assert hashlib.sha256(weights).hexdigest() == card["sha256"], "encoder.pt is damaged"',
        f"encoder.load_state_dict(torch.load(io.BytesIO(weights), weights_only=True){', strict=False' if cpc else ''})",
        "encoder.eval()",
        "",
        'images = torch.randint(0, 256, (2, card["input_channels"], card["input_size"], card["input_size"]))  # yours',
        "with torch.no_grad():",
        "    x = images / 127.5 - 1  # bytes to [-1, 1], as in training",
        "    local = encoder.local(x)" if cpc else "    local, y = encoder(x)",
    ]
    return "\n".join([*lines, "    y = local.mean((2, 3))"] if cpc else lines)
