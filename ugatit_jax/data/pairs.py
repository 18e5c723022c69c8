"""Which pictures belong together: that is told by their names alone."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from ugatit_jax.console.errors import printable


def match_names(names: Sequence[str], others: Sequence[str]) -> tuple[list[int], str]:
    """Find the partner of every picture among others, whose extensions may differ.

    names, others: relative paths. Returns the indices of the partners, one for each of `names`, and
    "". Where one of them has no partner, or more than one, no partner is sure: returns no indices,
    and why.
    """
    stems, others_stems = ([str(PurePath(x).with_suffix("")) for x in y] for y in (names, others))
    indices = {stem: i for i, stem in enumerate(others_stems)}
    if alone := [name for name, stem in zip(names, stems, strict=True) if stem not in indices]:
        first = printable(alone[0])
        return [], f"{len(alone):,} of {len(names):,} have no partner of their name, as {first}"
    wanted = set(stems)
    for these, among in ((stems, names), (others_stems, others)):
        for stem, count in Counter(x for x in these if x in wanted).most_common(1):
            if count > 1:
                alike = [printable(among[i]) for i, x in enumerate(these) if x == stem]
                first, second = alike[:2]
                return [], f"{first} and {second} are of one name"
    return [indices[stem] for stem in stems], ""
