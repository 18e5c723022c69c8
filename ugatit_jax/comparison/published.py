"""The figures of the paper's tables: KID×100 and its ±, to stand beside ours.

They are means of two KIDs, to the target and to the source, by Inception's features, ± the standard
error over blocks: (KID_target + KID_source) / 2 (docs/evaluation.md). Source: arXiv 1907.10830,
tables 1 and 3.
"""

from typing import Any, NamedTuple


class Figure(NamedTuple):
    """A figure of the paper: of which data set, and its two numbers."""

    data: str
    kid_x100: float
    spread: float


PAPERS_SET = "selfie2anime"  # of which the paper has all of its rows
# By data set and direction, A to B first; none of CartoonGAN's but on selfie2anime, one way.
TABLE_3: dict[str, dict[str, tuple[tuple[float, float], ...]]] = {
    "selfie2anime": {
        "ugatit": ((11.61, 0.57), (11.52, 0.57)),
        "cyclegan": ((13.08, 0.49), (11.84, 0.74)),
        "unit": ((14.71, 0.59), (26.32, 0.92)),
        "munit": ((13.85, 0.41), (13.94, 0.72)),
        "drit": ((15.08, 0.62), (14.85, 0.60)),
        "aggan": ((14.63, 0.55), (12.72, 1.03)),
        "cartoongan": ((15.85, 0.69),),
    },
    "horse2zebra": {
        "ugatit": ((7.06, 0.80), (7.47, 0.71)),
        "cyclegan": ((8.05, 0.72), (8.0, 0.66)),
        "unit": ((10.44, 0.67), (14.93, 0.75)),
        "munit": ((11.41, 0.83), (16.47, 1.04)),
        "drit": ((9.79, 0.62), (10.98, 0.55)),
        "aggan": ((7.58, 0.71), (8.80, 0.66)),
    },
    "cat2dog": {
        "ugatit": ((7.07, 0.65), (8.15, 0.66)),
        "cyclegan": ((8.92, 0.69), (9.94, 0.36)),
        "unit": ((8.15, 0.48), (9.81, 0.34)),
        "munit": ((10.13, 0.27), (10.39, 0.25)),
        "drit": ((10.92, 0.33), (10.86, 0.24)),
        "aggan": ((9.84, 0.79), (9.45, 0.64)),
    },
    "photo2portrait": {
        "ugatit": ((1.79, 0.34), (1.69, 0.53)),
        "cyclegan": ((1.84, 0.34), (1.82, 0.36)),
        "unit": ((1.20, 0.31), (1.42, 0.24)),
        "munit": ((4.75, 0.52), (3.30, 0.47)),
        "drit": ((5.85, 0.54), (4.76, 0.72)),
        "aggan": ((2.33, 0.36), (2.19, 0.40)),
    },
    "photo2vangogh": {
        "ugatit": ((4.28, 0.33), (5.61, 0.32)),
        "cyclegan": ((5.46, 0.33), (4.68, 0.36)),
        "unit": ((4.26, 0.29), (9.72, 0.33)),
        "munit": ((13.08, 0.34), (9.53, 0.35)),
        "drit": ((12.65, 0.35), (7.72, 0.34)),
        "aggan": ((6.95, 0.33), (5.85, 0.31)),
    },
}
# Table 1, on selfie2anime: by the decoder's normalisation and where there is class attention.
TABLE_1: dict[tuple[str, str], tuple[tuple[float, float], ...]] = {
    ("in", "both"): ((13.64, 0.76), (13.58, 0.80)),
    ("ln", "both"): ((12.39, 0.61), (13.17, 0.80)),
    ("adain", "both"): ((12.29, 0.78), (11.81, 0.77)),
    ("gn", "both"): ((12.76, 0.64), (12.30, 0.77)),
    ("adalin", "none"): ((12.85, 0.82), (14.06, 0.75)),
    ("adalin", "discriminator"): ((12.33, 0.68), (13.86, 0.75)),
    ("adalin", "generator"): ((12.49, 0.74), (13.33, 0.89)),
}
DIRECTIONS = ("a2b", "b2a")


def published(fields: dict[str, Any], direction: str) -> Figure | None:
    """Return the paper's figure for a config, {'section.name': value}, in a direction.

    That of the data set that the config trains on, where the paper has it, else of selfie2anime;
    None where it has neither.
    """
    source = str(fields["data.source"])
    data = next((name for name in TABLE_3 if name in source), PAPERS_SET)
    row = (fields.get("model.decoder_norm"), fields.get("model.cam"))
    if row in TABLE_1:
        data, found = PAPERS_SET, TABLE_1[row]
    else:
        of_data = TABLE_3[data]
        method = fields["method"]
        data = data if method in of_data else PAPERS_SET
        found = TABLE_3[data].get(method, ())
    i = DIRECTIONS.index(direction)
    return Figure(data, *found[i]) if i < len(found) else None
