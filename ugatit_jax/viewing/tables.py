"""Tables for people who read plain text, and for programs that read Markdown."""

from collections.abc import Sequence

from ugatit_jax.console.errors import printable


def markdown(table: Sequence[Sequence[str]]) -> str:
    """A table as Markdown that reads well as plain text, too; names in it may hold anything."""
    table = [[printable(cell).replace("|", "\\|") for cell in line] for line in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    first, *rest = widths
    rule = ["-" * first, *("-" * (width - 1) + ":" for width in rest)]
    lines = [table[0], rule, *table[1:]]
    return "\n".join(
        "| " + " | ".join([line[0].ljust(first), *map(str.rjust, line[1:], rest)]) + " |"
        for line in lines
    )
