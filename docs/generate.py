"""Write docs/config.md, from the fields and their comments, and docs/cli.md, from every --help.

python docs/generate.py
"""

import argparse
import ast
import importlib
import inspect
import re
import tokenize
from io import StringIO
from pathlib import Path
from typing import Any

from ugatit_jax.__main__ import COMMANDS, EXAMPLES
from ugatit_jax.config import fields
from ugatit_jax.config.catalogue import list_experiments
from ugatit_jax.config.records import flatten
from ugatit_jax.console.errors import Parser
from ugatit_jax.methods import METHODS, find_fields

DOCS = Path(__file__).parent
NAMES = {
    "ugatit": "U-GAT-IT",
    "cyclegan": "CycleGAN",
    "unit": "UNIT",
    "munit": "MUNIT",
    "drit": "DRIT and DRIT++",
    "aggan": "AGGAN",
    "cartoongan": "CartoonGAN",
}


def config_page() -> str:
    """Return docs/config.md."""
    common = flatten(fields.shared())
    order, comments = _comments_of_shared()
    sections = [
        "# Fields of a config",
        "",
        "Written by `python docs/generate.py` from the comments in `ugatit_jax/config/fields.py`",
        "and `ugatit_jax/methods/…_fields.py`. Give any of them on the command line, such as",
        "`--config.train.batch_size=8`. `ugatit train --config=NAME --print-config` prints what",
        "an experiment comes to.",
        "",
        "## Of all methods",
        "",
        *_table(comments, {field: common[field] for field in order}),
    ]
    for method, name in NAMES.items():
        module = importlib.import_module(METHODS[method][0])
        said = _comments_of_dict(inspect.getsource(module))
        values = find_fields(method)
        others = [field for field in values if field in common and field not in said]
        own = {field: value for field, value in values.items() if field not in others}
        sections += ["", f"## {name}", "", *_table(said, own)]
        if others:
            said = {others[0]: "Other values than those of all methods."}
            sections += _table(said, {field: values[field] for field in others})[2:]
    return "\n".join(sections) + "\n"


def _table(comments: dict[str, str], values: dict[str, Any]) -> list[str]:
    """Rows of the fields in `values`; one without a comment is in the row of the one before it."""
    groups: list[list[str]] = []
    for field in values:
        if field in comments or not groups:
            groups.append([])
        groups[-1].append(field)
    rows = ["| field | default | what it is |", "|---|---|---|"]
    for group in groups:
        names = ", ".join(f"`{field}`" for field in group)
        defaults = ", ".join(f"`{values[field]!r}`" for field in group)
        rows.append(f"| {names} | {defaults} | {_cell(comments[group[0]])} |")
    return rows


def _cell(text: str) -> str:
    return re.sub(r"([|*<_])", r"\\\1", text)


def _comment_lines(source: str) -> dict[int, str]:
    """{line: the comment that fills it}, of a program."""
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    found = {}
    for token in tokens:
        if token.type == tokenize.COMMENT and token.line.strip() == token.string:
            found[token.start[0]] = token.string.removeprefix("#").strip()
    return found


def _above(line: int, comments: dict[int, str]) -> str:
    """Return the comment that ends just above a line."""
    said: list[str] = []
    while line - 1 in comments:
        line -= 1
        said.insert(0, comments[line])
    return " ".join(said)


def _comments_of_dict(source: str) -> dict[str, str]:
    """The comments above the keys of FIELDS, {'section.name': comment}."""
    comments, found = _comment_lines(source), {}
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict)):
            continue
        if isinstance(node.target, ast.Name) and node.target.id == "FIELDS":
            for key in node.value.keys:
                if isinstance(key, ast.Constant) and (said := _above(key.lineno, comments)):
                    found[str(key.value)] = said
    return found


def _comments_of_shared() -> tuple[list[str], dict[str, str]]:
    """All 'section.name' in the order of `fields.shared`, and the comments above some of them."""
    source = inspect.getsource(fields.shared)
    comments, sections = _comment_lines(source), {"config": ""}
    order: list[str] = []
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                field = f"{sections[target.value.id]}{target.attr}"
                if not isinstance(node.value, ast.Call):  # of a section
                    order.append(field)
                if said := _above(node.lineno, comments):
                    found[field] = said
        names = [x.id for x in node.targets if isinstance(x, ast.Name)]
        attributes = [x.attr for x in node.targets if isinstance(x, ast.Attribute)]
        if names and attributes:
            sections[names[0]] = f"{attributes[0]}."
    return order, found


def cli_page() -> str:
    """Return docs/cli.md."""
    lines = [
        "# Commands",
        "",
        "Written by `python docs/generate.py` from the parsers, as `--help` prints them. `python",
        "-m ugatit_jax COMMAND` is the same, where `ugatit` is not installed. A command ends with",
        "status 0, with 2 for a mistake, told in a line, or with 75 where something could not be",
        "read just then.",
        "",
        *_sh(EXAMPLES),
    ]
    for name, (module, _) in COMMANDS.items():
        parser = importlib.import_module(f"ugatit_jax.{module}").make_parser()
        lines += ["", f"## ugatit {name}", "", f"{parser.description}", "", *_sh(parser.examples)]
        lines += _groups(parser)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for word, below in action.choices.items():
                    lines += ["", f"### ugatit {name} {word}", *_groups(below)]
    listed = ["", "## Experiments and their words", "", "`ugatit train --list` prints:", ""]
    return "\n".join([*lines, *listed, "```text", list_experiments(), "```", ""])


def _sh(examples: tuple[str, ...]) -> list[str]:
    return ["```sh", *examples, "```"]


def _groups(parser: Parser) -> list[str]:
    lines: list[str] = []
    for group in parser._action_groups:
        actions = [
            x
            for x in group._group_actions
            if x.dest != "help" and not isinstance(x, argparse._SubParsersAction)
        ]
        if group.title not in ("positional arguments", "options"):
            title = f"**{(group.title or '').capitalize()}**"
            lines += ["", f"{title}: {group.description}." if group.description else title]
        if actions:
            lines += ["", "| | |", "|---|---|"]
            lines += [f"| `{_shape(x)}` | {_cell(_meaning(x))} |" for x in actions]
    return lines


def _shape(action: argparse.Action) -> str:
    """Return how an argument is written, such as '--step STEP'."""
    choices = "\\|".join(map(str, action.choices)) if action.choices else ""
    value = "" if action.nargs == 0 else str(action.metavar or choices)
    more = "…" if action.nargs in ("+", "*") else ""
    return " ".join([*action.option_strings, value]).strip() + more


def _meaning(action: argparse.Action) -> str:
    said = (action.help or "") % vars(action)
    return f"{said} (required)" if action.required and action.option_strings else said


def main() -> None:
    """Write both pages."""
    for name, page in (("config.md", config_page), ("cli.md", cli_page)):
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
