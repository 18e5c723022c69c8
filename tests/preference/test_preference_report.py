"""The report, on choices that are counted by hand."""

import re
from pathlib import Path

import pytest
from scipy import stats

from ugatit_jax.prefer import main
from ugatit_jax.preference.choices import Choice, Choices
from ugatit_jax.preference.report import DATASETS, PAPER
from ugatit_jax.preference.study import Study, open_study

PICTURES = [f"{i}.png" for i in range(10)]


def write(out: Path, dataset: str, chosen: dict[str, str], methods: str = "abc") -> Choices:
    """A study in which each person chose these methods, one letter for each picture."""
    open_study(out, Study(dataset, "", PICTURES, "x", dict.fromkeys(methods, "x")))
    choices = Choices(out)
    for person, letters in chosen.items():
        for picture, letter in zip(PICTURES, letters, strict=False):
            choices.add(Choice(person, picture, letter, list(methods), 2.0, ""))
    return choices


def report(capsys: pytest.CaptureFixture[str], *folders: Path) -> tuple[str, str]:
    assert main(["--report", *map(str, folders)]) == 0
    return capsys.readouterr()


def cells(text: str, row: str) -> list[str]:
    lines = [[x.strip() for x in y.strip("|").split("|")] for y in text.splitlines()]
    [found] = [line[1:] for line in lines if line[0] == row]
    return found


def test_one_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "cats", {"kl": "aaaaaaabbc"})
    text, said = report(capsys, tmp_path)
    assert said == ""
    assert re.findall(r"^\| ([abc]) +\|", text, re.MULTILINE) == ["a", "b", "c"]
    # 7 of 10, 2 and 1, each choice a picture of its own: the design effect is 10/9.
    for row, share in (("a", 0.7), ("b", 0.2), ("c", 0.1)):
        [cell] = cells(text, row)
        found = [float(x) for x in re.findall(r"[\d.]+", cell)]
        low, high = stats.binomtest(round(10 * share), 10).proportion_ci(method="wilson")
        assert found[0] == 100 * share
        assert found[1] <= 100 * low + 0.05 and found[2] >= 100 * high - 0.05
        assert found[2] - found[1] < 108 * (high - low)
    # 7 to 2 is 2 · (1 + 9 + 36) / 512 by the sign test, 7 to 1 is 2 · (1 + 8) / 256.
    assert cells(text, "a over c") == ["7 to 1", f"{3 * 18 / 256:.3f}", "1.000"]
    assert cells(text, "a over b") == ["7 to 2", f"{2 * 92 / 512:.3f}", "1.000"]
    assert "10 choices of 1 person, of whom 1 saw all 10 pictures; 2.0 s for a choice" in text
    assert "33 % by chance: 70 %, 20 %, 10 %." in text
    assert "the paper" not in text


def test_several_people_and_who_stopped_early(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everyone = {f"p{i}": "aaaaabbbbc" for i in range(7)} | {"early": "ab"}
    write(tmp_path, "cats", everyone)
    text, _ = report(capsys, tmp_path)
    assert "72 choices of 8 people, of whom 7 saw all 10 pictures" in text
    assert cells(text, "a")[0].startswith("50.0 (")
    low, high = (float(x) for x in re.findall(r"[\d.]+", cells(text, "a")[0])[1:])
    # All agree on each picture, so that it is little more than ten choices.
    expected = stats.binomtest(5, 10).proportion_ci(method="wilson")
    assert low == pytest.approx(100 * expected.low, abs=3)
    assert high == pytest.approx(100 * expected.high, abs=3)
    # Of people, seven preferred a over c by 4 each and one by 1, of 2^8 ways two are as far; a over
    # b by 1 and 0 each, 2^7; and b over c: 3 each and 1, 2^8. Three pairs.
    assert [cells(text, f"{x} over {y}")[2] for x, y in ("ac", "ab", "bc")] == [
        f"{3 * 2 / 256:.3f}",
        f"{max(2 / 128, 3 * 2 / 256):.3f}",
        f"{3 * 2 / 256:.3f}",
    ]


def test_several_studies_are_one_table_beside_the_papers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "1", "horse2zebra", {"kl": "aaaaaaaaab"}, "ab")
    write(tmp_path / "2", "mine", {"kl": "bbbbbbbbbb"}, "bc")
    text, _ = report(capsys, tmp_path / "1", tmp_path / "2")
    assert cells(text, "best of all, % of the choices") == ["horse2zebra", "mine"]
    a, b, c = (cells(text, row) for row in "abc")
    assert a[0].startswith("90.0 (") and a[1] == "–"
    assert b[0].startswith("10.0 (") and b[1] == "100.0 (72.2 to 100.0)"
    assert c == ["–", "0.0 (0.0 to 27.8)"]
    assert cells(text, "U-GAT-IT, the paper's study") == ["73.6", "–"]
    assert cells(text, "CycleGAN, the paper's study") == ["23.1", "–"]


def test_the_papers_percentages_are_whole_numbers_of_choices() -> None:
    """135 people and 20 pictures are 2 700 choices; a slip of the pen would show."""
    for i, _ in enumerate(DATASETS):
        column = [figures[i] for figures in PAPER.values()]
        counts = [round(27 * percent) for percent in column]
        assert sum(counts) == 2700
        assert [round(count / 27, 2) for count in counts] == column


def test_what_cannot_be_counted_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choices = write(tmp_path, "cats", {"kl": "ab"})
    choices.add(Choice("kl", "another.png", "a", ["a", "b", "c"], 1, ""))
    choices.add(Choice("kl", "3.png", "a", ["a", "b"], 1, ""))
    with choices.file.open("a") as file:
        file.write('{"person"')
    text, said = report(capsys, tmp_path)
    assert "\n2 choices of 1 person" in text
    assert said.splitlines() == [
        f"{choices.file}: line 5 is no whole choice and is skipped",
        f"{choices.file}: 2 choices of other pictures or methods skipped",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no choices in .* yet: start without --report"),
        ('{"format": 2}', "was written by a newer ugatit_jax"),
        ("{", "cannot read .*study.json"),
        ('{"format": 1}', "is no study's description"),
    ],
)
def test_a_folder_that_has_no_report_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, words: str
) -> None:
    write(tmp_path, "cats", {})
    if content:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(SystemExit, match="2"):
        main(["--report", str(tmp_path)])
    said = capsys.readouterr().err
    assert re.search(words, said) and said.count("\n") == 1


def test_two_studies_of_one_data_set_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "xy":
        write(tmp_path / name, "cats", {"kl": "a"})
    with pytest.raises(SystemExit, match="2"):
        main(["--report", str(tmp_path / "x"), str(tmp_path / "y")])
    assert "two studies of cats" in capsys.readouterr().err
