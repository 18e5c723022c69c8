"""What was found in a folder of pictures, as a page for people and as JSON for programs."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_jax.curation.examination import Examination
from ugatit_jax.curation.findings import Finding
from ugatit_jax.curation.probe import Probe, distances
from ugatit_jax.curation.sheet import contact_sheet
from ugatit_jax.data import images
from ugatit_jax.data.storage import write_atomically
from ugatit_jax.viewing.gallery import GalleryRow, GallerySection, write_gallery
from ugatit_jax.viewing.visualize import save_png

FARTHEST = 24  # pictures of each domain in the contact sheet
_ROWS = 24  # of pictures that a page shows of one finding
_ABREAST = 6  # pictures in a row

_PROBED = {"framing": "framing alone", "colours": "colours alone", "features": "all, by a network"}


def farthest(seen: Examination) -> dict[str, list[tuple[str, float]]]:
    """The pictures of each domain that lie farthest from its centre, by features of the network.

    With each how far, by the median of the domain. Empty where no network was asked.
    """
    found: dict[str, list[tuple[str, float]]] = {}
    if seen.features is None:
        return found
    for domain in seen.folder.domains():
        indices = seen.of_domain(domain)
        apart = distances(seen.features[indices])
        order = np.argsort(-apart, kind="stable")[:FARTHEST]
        found[domain] = [(seen.sources[indices[i]].name, float(apart[i])) for i in order]
    return found


def write_report(
    seen: Examination, findings: Sequence[Finding], told: Mapping[str, Probe], out: Path
) -> None:
    """Write report.json, index.html and, where a network was asked, contact sheets.

    Raises `OSError` where they cannot be written.
    """
    away = farthest(seen)
    report = as_json(seen, findings, told, away)
    write_atomically(out / "report.json", json.dumps(report, indent=1) + "\n")
    for domain, these in away.items():
        pictures = (seen.load(name) for name, _ in these)
        captions = [f"{Path(name).name}  {apart:.2f}" for name, apart in these]
        path = out / f"farthest{'_' if domain else ''}{domain}.png"
        save_png(path, contact_sheet(pictures, captions))
    _write_page(seen, findings, told, away, out / "index.html")


def as_json(
    seen: Examination,
    findings: Sequence[Finding],
    told: Mapping[str, Probe],
    away: Mapping[str, Sequence[tuple[str, float]]],
) -> dict[str, Any]:
    """The report for programs."""
    table = summary(seen)
    return {
        "folder": str(seen.folder.root.resolve()),
        "size": seen.size,
        "splits": [dict(zip(table[0], line, strict=True)) for line in table[1:]],
        "findings": [
            {
                "kind": finding.kind,
                "level": "defect" if finding.is_defect else "note",
                "domain": finding.domain,
                "text": finding.text,
                "groups": finding.groups,
                "said": {name: said for name, said in finding.said.items() if said},
                "left_out": sorted(finding.left_out),
            }
            for finding in findings
        ],
        "told_apart": {kind: dataclasses.asdict(probe) for kind, probe in told.items()},
        "features": seen.extractor,
        "farthest": {domain: dict(these) for domain, these in away.items()},
    }


def summary(seen: Examination) -> list[list[str]]:
    """A table of the splits: counts, sizes and shapes. The first line is the header."""
    header = ["split", "pictures", "broken", "shorter side, px", "width : height"]
    table = [header]
    broken = {source.name: source.split for source in seen.folder.sources}
    for split in seen.folder.splits:
        these = [x for x, y in zip(seen.measures, seen.sources, strict=True) if y.split == split]
        bad = sum(broken[name] == split for name in seen.broken)
        sides = _range([min(x.height, x.width) for x in these], "{:.0f}")
        shapes = _range([x.width / x.height for x in these], "{:.2f}")
        table.append([split or "all", f"{len(these):,}", f"{bad:,}", sides, shapes])
    return table


def _range(values: Sequence[float], form: str) -> str:
    """Smallest, median and largest, or the one value that there is."""
    if not values:
        return "–"
    three = [form.format(x) for x in (min(values), float(np.median(values)), max(values))]
    return three[0] if len(set(three)) == 1 else f"{three[0]} – {three[1]} – {three[2]}"


def _write_page(
    seen: Examination,
    findings: Sequence[Finding],
    told: Mapping[str, Probe],
    away: Mapping[str, Sequence[tuple[str, float]]],
    path: Path,
) -> None:
    sections = {"Pictures": GallerySection(_means(seen), _tables(seen, told))}
    for finding in findings:
        sections[_title(finding)] = _section(seen, finding)
    for domain, these in away.items():
        said = {name: f"{apart:.2f} times as far as usual" for name, apart in these}
        rows = _singles(seen, [name for name, _ in these], said)
        text = (
            "Nothing need be wrong with these: look whether they belong here. By features of "
            f"{seen.extractor}."
        )
        sections[f"Farthest from the centre{_of(domain)}"] = GallerySection(rows, text=text)
    defects = sum(finding.is_defect for finding in findings)
    lines = [
        f"{len(seen.sources):,} pictures, to be trained on at {seen.size} px.",
        f"Defects of {defects} kinds, {len(findings) - defects} things worth knowing."
        if findings
        else "Nothing was found.",
    ]
    notes = [
        "A side is given as smallest – median – largest. report.json lists all pictures of every "
        "finding.",
        "A mark is found if most pictures of a domain have it at one place, relative to their "
        "size.",
    ]
    write_gallery(path, f"Check of {seen.folder.root.resolve().name}", sections, lines, notes)


def _title(finding: Finding) -> str:
    count = f" ({finding.count:,})" if finding.count else ""
    return (
        f"{'Defect' if finding.is_defect else 'Note'}: {finding.kind}{_of(finding.domain)}{count}"
    )


def _tables(seen: Examination, told: Mapping[str, Probe]) -> list[list[list[str]]]:
    tables = [summary(seen)]
    if told:
        lines = [
            [_PROBED[kind], f"{probe.accuracy:.1%} ± {probe.error:.1%}"]
            for kind, probe in told.items()
        ]
        tables.append([["domain told by", "right"], *lines])
    return tables


def _means(seen: Examination) -> list[GalleryRow]:
    """The mean picture of each domain, enlarged: it shows their framing and their cast."""
    large = {
        f"mean{_of(domain)}": images.cover_resize(mean, (256, 256))
        for domain, mean in seen.means.items()
    }
    return [GalleryRow("What the pictures have in common", large)] if large else []


def _section(seen: Examination, finding: Finding) -> GallerySection:
    names = [group[0] for group in finding.groups]
    text = finding.text
    if finding.kind == "mark":
        shown = {"mark, in red": seen.marks[finding.domain].picture}
        return GallerySection([GalleryRow("Fine structure, in the mean", shown)], text=text)
    if not finding.can_be_shown:
        lines = [[name, finding.said.get(name, "")] for name in names[: _ROWS * _ABREAST]]
        return GallerySection([], [[["picture", "what is wrong"], *lines]], text)
    if any(len(group) > 1 for group in finding.groups):
        if len(finding.groups) > _ROWS:
            text += f" The first {_ROWS} are shown."
        return GallerySection(_together(seen, finding.groups[:_ROWS]), text=text)
    if len(names) > _ROWS * _ABREAST:
        text += f" The first {_ROWS * _ABREAST} are shown."
    return GallerySection(_singles(seen, names[: _ROWS * _ABREAST], finding.said), text=text)


def _together(seen: Examination, groups: Sequence[Sequence[str]]) -> Iterator[GalleryRow]:
    for number, group in enumerate(groups, 1):
        more = f", the first {_ABREAST}" if len(group) > _ABREAST else ""
        title = f"Group {number}: {len(group)} pictures{more}"
        yield GalleryRow(title, {name: seen.load(name) for name in group[:_ABREAST]})


def _singles(
    seen: Examination, names: Sequence[str], said: Mapping[str, str]
) -> Iterator[GalleryRow]:
    for start in range(0, len(names), _ABREAST):
        part = names[start : start + _ABREAST]
        captions = {name: f"{name}: {said[name]}" if said.get(name) else name for name in part}
        pictures = {captions[name]: seen.load(name) for name in part}
        yield GalleryRow(f"{start + 1} to {start + len(part)}", pictures)


def _of(domain: str) -> str:
    return f" of {domain}" if domain else ""
