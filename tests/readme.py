"""The commands that the README gives."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
