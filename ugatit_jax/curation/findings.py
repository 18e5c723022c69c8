"""From what was seen of a folder's pictures to what is wrong with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ugatit_jax.curation.duplicates import group_equal, group_near
from ugatit_jax.curation.examination import Examination
from ugatit_jax.curation.measures import Measures, is_grey
from ugatit_jax.curation.probe import Probe, tell_apart

_AMONG = 0.1  # of a domain: what is rarer is out of place in it, what is not is its kind
_SOFT = 0.02  # of `Measures.detail`: pictures at their own resolution had 0.02 to 1
_LOPSIDED = 5  # times as many pictures in one domain
_ODD_SHAPE = 1.8  # times the usual shape: half the picture is cut off in training
_TOLD = 0.9  # accuracy of a probe that sees nothing but framing, or colours

_ALONE = {
    "framing": "where in the picture there is detail",
    "colours": "means and deviations of brightness and of two differences of colours",
}


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or only worth knowing.

    is_defect: whether it is wrong. text: what it is, and what would do. groups: the pictures, paths
    from the folder; those that belong together are in one group. left_out: what a cleaned copy
    is without. domain: that it is about; '': no single one. said: something to say of each
    picture, such as its size.
    """

    kind: str
    is_defect: bool
    text: str
    groups: Sequence[Sequence[str]] = ()
    left_out: frozenset[str] = frozenset()
    domain: str = ""
    said: Mapping[str, str] = field(default_factory=dict)

    @property
    def can_be_shown(self) -> bool:
        """Tell whether the pictures can be read."""
        return self.kind not in ("broken", "not read")

    @property
    def count(self) -> int:
        """How many pictures it is about."""
        return sum(map(len, self.groups))


def find_all(seen: Examination, told: Mapping[str, Probe]) -> list[Finding]:
    """Return all findings, defects first. told: as `probes` returns them."""
    found = [
        *_layout(seen),
        *_broken(seen),
        *_duplicates(seen),
        *_grey(seen),
        *_tiny(seen),
        *_soft(seen),
        *_bordered(seen),
        *_marked(seen),
        *_odd_shapes(seen),
        *_unread(seen),
        *_told_apart(told),
    ]
    return sorted(found, key=lambda finding: not finding.is_defect)


def _layout(seen: Examination) -> list[Finding]:
    if not seen.folder.is_data_set:
        return []
    counts = {split: 0 for split in ("trainA", "trainB")}
    for source in seen.sources:
        counts[source.split] = counts.get(source.split, 0) + 1
    missing = [split for split in ("trainA", "trainB") if not counts[split]]
    if missing:
        said = f"There is nothing to learn from in {' and '.join(missing)}: fill it."
        return [Finding("missing", True, said)]
    few, many = sorted((counts["trainA"], counts["trainB"]))
    if many >= _LOPSIDED * few:
        said = f"One domain has {many:,} pictures to learn from, the other {few:,}."
        return [Finding("lopsided", False, f"{said} The few will be learned by heart.")]
    return []


def _broken(seen: Examination) -> list[Finding]:
    if not seen.broken:
        return []
    names = sorted(seen.broken)
    text = f"{_pictures(len(names))} cannot be read: training stops at them, or skips them if told."
    return [Finding("broken", True, text, [[x] for x in names], frozenset(names), "", seen.broken)]


def _duplicates(seen: Examination) -> list[Finding]:
    exact = group_equal([x.digest for x in seen.measures])
    copies = {i for group in exact for i in group[1:]}
    unique = [i for i in range(len(seen.measures)) if i not in copies]
    near: list[list[int]] = []
    if unique:
        bits = np.stack([seen.measures[i].bits for i in unique])
        colours = np.stack([seen.measures[i].colours[:3] for i in unique])
        near = [[unique[i] for i in group] for group in group_near(bits, colours)]
    found = []
    for kind, groups in (("exact", exact), ("near", near)):
        for where, text in _WHERE.items():
            there = [group for group in groups if _where(seen, group) == where]
            if there:
                found.append(_copies(seen, kind, where, text, there))
    return found


_WHERE = {
    "across domains": "lie in both domains: they teach that nothing has to change",
    "across splits": "lie in what is trained on and what is tested with: scores come out too good",
    "within a split": "lie in one split: the picture counts that often",
}


def _where(seen: Examination, group: Sequence[int]) -> str:
    sources = [seen.sources[i] for i in group]
    if len({source.domain for source in sources}) > 1:
        return "across domains"
    return "across splits" if len({x.split for x in sources}) > 1 else "within a split"


def _copies(
    seen: Examination, kind: str, where: str, text: str, groups: list[list[int]]
) -> Finding:
    """What is to be said of groups of duplicates. Nothing tells which domain is the right one."""
    left_out: set[str] = set()
    for group in groups:
        best = sorted(group, key=lambda i: _preference(seen, i))
        left_out |= {seen.sources[i].name for i in best[where != "across domains" :]}
    same = "equal, pixel by pixel," if kind == "exact" else "much the same"
    groups_of = "A group" if len(groups) == 1 else f"{len(groups):,} groups"
    said = f"{groups_of} of pictures that are {same} {text}."
    names = [[seen.sources[i].name for i in group] for group in groups]
    return Finding(f"{kind} duplicates {where}", True, said, names, frozenset(left_out))


def _preference(seen: Examination, i: int) -> tuple[bool, int, str]:
    """Orders duplicates: the first is kept. What is tested with stays what it was."""
    source, measures = seen.sources[i], seen.measures[i]
    return not source.is_test, -measures.height * measures.width, source.name


def _out_of_place(
    seen: Examination,
    kind: str,
    is_so: Callable[[Measures], bool],
    what: str,
    say: Callable[[Measures], str],
    most: float = _AMONG,
) -> list[Finding]:
    """Pictures of a domain that are of some kind; none if more than a share of it are."""
    found = []
    for domain in seen.folder.domains():
        indices = seen.of_domain(domain)
        these = [i for i in indices if is_so(seen.measures[i])]
        if not these or len(these) > most * len(indices):
            continue
        names = [seen.sources[i].name for i in these]
        said = {seen.sources[i].name: say(seen.measures[i]) for i in these}
        text = f"{_pictures(len(these))} of {len(indices):,}{_of(domain)} {what}"
        groups = [[name] for name in names]
        found.append(Finding(kind, True, text, groups, frozenset(names), domain, said))
    return found


def _grey(seen: Examination) -> list[Finding]:
    what = "without colours, where the others have some."
    return _out_of_place(seen, "grey", is_grey, what, lambda x: "")


def _tiny(seen: Examination) -> list[Finding]:
    what = f"with a side shorter than half of the {seen.size} px that are trained at (--size)."
    return _out_of_place(
        seen,
        "tiny",
        lambda x: min(x.height, x.width) < seen.size / 2,
        what,
        lambda x: f"{x.width}×{x.height} px",
        most=1,
    )


def _soft(seen: Examination) -> list[Finding]:
    what = "with no more detail than half their size would hold: enlarged, or blurred."
    return _out_of_place(
        seen,
        "enlarged",
        lambda x: min(x.height, x.width) >= seen.size / 2 and x.detail < _SOFT,
        what,
        lambda x: f"detail {x.detail:.3f}",
        most=1,
    )


def _bordered(seen: Examination) -> list[Finding]:
    """Borders, but not where subjects on a plain ground are usual, of which some are squares."""
    found = _out_of_place(
        seen,
        "border",
        lambda x: x.has_border,
        "with borders of one colour: a generator learns to draw them.",
        lambda x: f"up to {max(x.borders):.0%} of a side",
        most=1,
    )
    grounds = [seen.measures[i].plain for i in range(len(seen.measures))]
    bordered = sum(x.has_border for x in seen.measures)
    return found if bordered >= 0.5 * sum(grounds) else []


def _marked(seen: Examination) -> list[Finding]:
    found = []
    for domain, mark in seen.marks.items():
        top, bottom, left, right = mark.box
        where = f"{top:.0%} to {bottom:.0%} from above, {left:.0%} to {right:.0%} from the left"
        text = (
            f"Most of the {mark.count:,} pictures{_of(domain)} have the same thing at the same "
            f"place, {where}: a watermark, a logo or a caption. It will be drawn into every "
            "translation: cut or paint it away."
        )
        found.append(Finding("mark", True, text, domain=domain))
    return found


def _odd_shapes(seen: Examination) -> list[Finding]:
    found = []
    for domain in seen.folder.domains():
        indices = seen.of_domain(domain)
        shapes = np.log([seen.measures[i].width / seen.measures[i].height for i in indices])
        odd = np.flatnonzero(np.abs(shapes - np.median(shapes)) > np.log(_ODD_SHAPE))
        if len(odd):
            names = [seen.sources[indices[i]].name for i in odd]
            sizes = [seen.measures[indices[i]] for i in odd]
            said = {n: f"{x.width}×{x.height} px" for n, x in zip(names, sizes, strict=True)}
            text = f"{_pictures(len(odd))}{_of(domain)} of quite another shape: much is cut off."
            groups = [[name] for name in names]
            found.append(Finding("shape", False, text, groups, domain=domain, said=said))
    return found


def _unread(seen: Examination) -> list[Finding]:
    names = seen.folder.unread
    if not names:
        return []
    text = f"{_pictures(len(names))} of kinds that are not read: save them as PNG or JPEG."
    return [Finding("not read", False, text, [[name] for name in names])]


def probes(seen: Examination) -> dict[str, Probe]:
    """How well the domains are told apart, by framing, by colours and by the network's features."""
    if seen.folder.domains() != ["A", "B"]:
        return {}
    first, second = seen.of_domain("A"), seen.of_domain("B")
    kinds = {name: np.array([getattr(x, name) for x in seen.measures]) for name in _ALONE}
    if seen.features is not None:
        kinds["features"] = seen.features
    found = {kind: tell_apart(x[first], x[second]) for kind, x in kinds.items()}
    return {kind: probe for kind, probe in found.items() if probe is not None}


def _told_apart(told: Mapping[str, Probe]) -> list[Finding]:
    found = []
    for kind, probe in told.items():
        # Not by chance: as few pictures may be told.
        if kind in _ALONE and probe.accuracy - 2 * probe.error >= _TOLD:
            text = (
                f"By {kind} alone ({_ALONE[kind]}) the domain of {probe.accuracy:.0%} of pictures "
                "is told: this may be learned before what is wanted."
            )
            found.append(Finding(f"told by {kind}", False, text))
    return found


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"


def _of(domain: str) -> str:
    return f" of domain {domain}" if domain else ""
