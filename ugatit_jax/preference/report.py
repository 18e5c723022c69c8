"""Shares of the choices by method and data set, as Markdown, beside those of the paper."""

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ugatit_jax.console.errors import InputError, printable
from ugatit_jax.preference.choices import Choice, Choices
from ugatit_jax.preference.significance import effective_count, holm, sign_flip_test, wilson
from ugatit_jax.preference.study import Study, read_study
from ugatit_jax.viewing.tables import markdown

NONE = "–"
# U-GAT-IT's paper, its table of the user study: percentages of the choices of 135 people.
PAPER = {
    "U-GAT-IT": (73.15, 73.56, 58.22, 30.59, 48.96),
    "CycleGAN": (20.07, 23.07, 6.19, 26.59, 27.33),
    "UNIT": (1.48, 0.85, 18.63, 32.11, 11.93),
    "MUNIT": (3.41, 1.04, 14.48, 8.22, 2.07),
    "DRIT": (1.89, 1.48, 2.48, 2.48, 9.70),
}
DATASETS = ("selfie2anime", "horse2zebra", "cat2dog", "photo2portrait", "photo2vangogh")


def report(folders: Sequence[Path]) -> tuple[str, list[str]]:
    """Return what was chosen in the studies of some folders, and what was passed over there.

    Raises `InputError` for a folder without a study or without choices, and for two studies of one
    data set.
    """
    studies: dict[str, tuple[Study, list[Choice]]] = {}
    skipped: list[str] = []
    for folder in folders:
        study, choices = read_study(folder), Choices(folder)
        skipped += choices.skipped
        known = [choice for choice in choices.all() if _belongs(choice, study)]
        if strange := len(choices.all()) - len(known):
            skipped.append(
                f"{choices.file}: {strange} choices of other pictures or methods skipped"
            )
        if not known:
            raise InputError(f"no choices in {folder} yet: start without --report, and choose")
        if study.dataset in studies:
            raise InputError(f"two studies of {study.dataset}: give one folder for each data set")
        studies[study.dataset] = study, known
    sections = [_shares(studies)]
    for name, found in studies.items():
        sections.append(f"## {printable(name)}\n\n{_about(*found)}\n\n{_pairs(*found)}")
    return "\n\n".join([*sections, _notes(studies)]), skipped


def _belongs(choice: Choice, study: Study) -> bool:
    return choice.picture in study.pictures and set(choice.shown) == set(study.methods)


def shares(study: Study, choices: Sequence[Choice]) -> dict[str, tuple[float, float, float]]:
    """Return the share of the choices that each method has, with its interval of 95 %."""
    methods = sorted(study.methods)
    chosen = np.array([methods.index(choice.choice) for choice in choices])
    pictures, people = ([getattr(x, of) for x in choices] for of in ("picture", "person"))
    count = effective_count(chosen, np.array(pictures), np.array(people))
    found = [float((chosen == i).mean()) for i in range(len(methods))]
    return {
        method: (share, *wilson(share, count)) for method, share in zip(methods, found, strict=True)
    }


def _shares(studies: dict[str, tuple[Study, list[Choice]]]) -> str:
    """The table of all: methods by data sets, the most chosen first, and the paper's below."""
    columns = {name: shares(*found) for name, found in studies.items()}
    methods = {method for column in columns.values() for method in column}
    total = {m: sum(column[m][0] for column in columns.values() if m in column) for m in methods}
    table = [["best of all, % of the choices", *columns]]
    for method in sorted(methods, key=lambda m: (-total[m], m)):
        cells = [
            _share(*column[method]) if method in column else NONE for column in columns.values()
        ]
        table.append([method, *cells])
    if not set(columns).isdisjoint(DATASETS):
        for method, figures in PAPER.items():
            of = dict(zip(DATASETS, figures, strict=True))
            cells = [f"{of[name]:.1f}" if name in of else NONE for name in columns]
            table.append([f"{method}, the paper's study", *cells])
    return "# Which translation people prefer\n\n" + markdown(table)


def _share(share: float, low: float, high: float) -> str:
    return f"{100 * share:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _about(study: Study, choices: Sequence[Choice]) -> str:
    people = Counter(choice.person for choice in choices)
    whole = sum(count == len(study.pictures) for count in people.values())
    places = Counter(choice.shown.index(choice.choice) for choice in choices)
    number, chance = len(study.methods), 100 / len(study.methods)
    of_places = ", ".join(f"{100 * places[i] / len(choices):.0f} %" for i in range(number))
    seconds = np.median([choice.seconds for choice in choices])
    return (
        f"{_count(len(choices), 'choice')} of {_count(len(people), 'person', 'people')}, of whom "
        f"{whole} saw all {len(study.pictures)} pictures; {seconds:.1f} s for a choice, in the "
        f"median. By the place on the page, where each has {chance:.0f} % by chance: {of_places}."
    )


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def _pairs(study: Study, choices: Sequence[Choice]) -> str:
    """The table of every two methods: how often each was chosen, and how sure that is."""
    votes = Counter(x.choice for x in choices)
    ranking = sorted(study.methods, key=lambda method: (-votes[method], method))
    pairs = list(itertools.combinations(ranking, 2))
    columns = [
        holm([sign_flip_test(differences(choices, of, *pair)) for pair in pairs])
        for of in ("picture", "person")
    ]
    table = [["pair", "choices", "p over pictures", "p over people"]]
    for (first, second), *p_values in zip(pairs, *columns, strict=True):
        counts = f"{votes[first]:,} to {votes[second]:,}"
        table.append([f"{first} over {second}", counts, *map(_p, p_values)])
    return markdown(table)


def differences(choices: Sequence[Choice], of: str, first: str, second: str) -> list[int]:
    """Return how many more chose one method than the other: of each 'picture', or each 'person'."""
    found: Counter[str] = Counter()
    for choice in choices:
        found[getattr(choice, of)] += (choice.choice == first) - (choice.choice == second)
    return list(found.values())


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _notes(studies: dict[str, tuple[Study, list[Choice]]]) -> str:
    lines = [
        "In brackets: 95 %, Wilson's interval for as many independent choices as these are worth; "
        "choices of one person, and of one picture, go together and count for less (Kish's design "
        "effect, the larger of the two).",
        "p: if neither of a pair were better, how often a difference as large would come about; "
        "Fisher's exact test of paired differences, allowing for the number of pairs (Holm). Over "
        "pictures it speaks of other pictures and the same people; over people, of other people "
        "and the same pictures: with five people or fewer it cannot fall below 0.06.",
    ]
    if not set(studies).isdisjoint(DATASETS):
        lines.append(
            "The paper's figures are of 135 people and other rivals, pictures and trainings: a "
            "share depends on who else is shown, and compares with theirs for the same five alone."
        )
    return "\n".join(["## How to read it", "", *(f"- {line}" for line in lines)])
