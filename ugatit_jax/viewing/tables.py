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


_LATEX = {
    "±": r"$\pm$",
    "×": r"$\times$",
    "Δ": r"$\Delta$",
    "ρ": r"$\rho$",
    "–": "--",
    "→": r"$\to$",
}
_LATEX |= {x: f"\\{x}" for x in "&%$#_{}"}
_LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def latex(table: Sequence[Sequence[str]]) -> str:
    """A table as LaTeX's `tabular`, with the rules of the package booktabs."""
    lines = [" & ".join(map(_to_latex, line)) + r" \\" for line in table]
    columns = "l" + "r" * (len(table[0]) - 1)
    body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}", ""])


def _to_latex(text: str) -> str:
    return "".join(_LATEX.get(x, x) for x in text)
