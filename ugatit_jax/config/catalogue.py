"""The experiments that come with the program, and the words that may follow their names."""

import ast
from pathlib import Path
from typing import Any

import ugatit_jax
from ugatit_jax.methods import METHODS, find_variants

EXPERIMENTS = Path(ugatit_jax.__file__).parent / "experiments"


def experiments() -> list[str]:
    """Return the names of the experiments that come with the program."""
    return sorted(path.stem for path in EXPERIMENTS.glob("[!_]*.py"))


def list_experiments() -> str:
    """Return what `--list` prints: every experiment with its first line, and every word."""
    names = {name: _first_line(EXPERIMENTS / f"{name}.py") for name in experiments()}
    default, *others = METHODS
    words = {name: "this method instead of U-GAT-IT" for name in others}
    for method in METHODS:
        for word, fields in find_variants(method).items():
            of = "" if method == default else f"{method}: "
            words[word] = of + (_describe(fields) or "the default, by its name")
    return "\n".join(
        [
            "experiments, as in --config=NAME:",
            *_columns(names),
            "",
            "words that may follow the name of any of them, as in --config=NAME:WORD,WORD:",
            *_columns(words),
        ]
    )


def _first_line(file: Path) -> str:
    """Return the first line of a program's docstring, without running it."""
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0]


def _describe(fields: dict[str, Any]) -> str:
    """Say what a word sets."""
    return ", ".join(f"{field}={value}" for field, value in fields.items())


def _columns(lines: dict[str, str]) -> list[str]:
    width = max(map(len, lines))
    return [f"  {name:{width}}  {said}" for name, said in lines.items()]
