"""Studies that somebody else made or changed: what is no choice is passed over, the rest told."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ugatit_jax.console.errors import InputError
from ugatit_jax.prefer import main
from ugatit_jax.preference.report import report

WHOLE = {
    "person": "kl", "picture": "a.png", "choice": "red", "shown": ["red", "blue"], "seconds": 1,
    "time": "2026-11-29T12:00:00+00:00",
}  # fmt: skip
STUDY = {
    "format": 1, "dataset": "colours", "target": "", "pictures": ["a.png"], "inputs": "0",
    "methods": {"red": "1", "blue": "2"},
}  # fmt: skip
NO_CHOICES = [
    "", "null", "[]", "3", "[" * 10**5, '{"a":' * 10**5, "9" * 5000, "{}",
    *(json.dumps(WHOLE | fields) for fields in (
        {"more": 1}, {"person": 3}, {"picture": None}, {"choice": "green"}, {"choice": ["red"]},
        {"shown": "red"}, {"shown": [1, 2]}, {"shown": ["red", "red", "blue"]}, {"shown": []},
        {"seconds": "1"}, {"seconds": True}, {"seconds": -1}, {"seconds": 10**400},
        {"seconds": float("nan")}, {"seconds": float("inf")}, {"seconds": []},
    )),
]  # fmt: skip


def write(folder: Path, study: Any, lines: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "study.json").write_text(json.dumps(study))
    (folder / "choices.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_lines_that_are_no_choices(tmp_path: Path) -> None:
    folder = write(tmp_path / "x", STUDY, [*NO_CHOICES, json.dumps(WHOLE)])
    text, skipped = report([folder])
    assert "1 choice of 1 person" in text
    lines = [n for n, line in enumerate(NO_CHOICES, 1) if line]
    assert skipped == [
        f"{folder / 'choices.jsonl'}: line {n} is no whole choice and is skipped" for n in lines
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"dataset": []},
        {"dataset": None},
        {"target": 3},
        {"pictures": 3},
        {"pictures": "a.png"},
        {"pictures": [1]},
        {"pictures": None},
        {"inputs": {}},
        {"methods": ["red", "blue"]},
        {"methods": {"red": 1}},
        {"methods": {}},
        {"methods": None},
        {"more": 1},
    ],
)
def test_descriptions_of_other_types(fields: dict[str, Any], tmp_path: Path) -> None:
    folder = write(tmp_path / "x", STUDY | fields, [json.dumps(WHOLE)])
    with pytest.raises(InputError, match=r"study\.json is no study's description"):
        report([folder])


@pytest.mark.parametrize("name", ["study.json", "choices.jsonl"])
def test_files_that_are_none(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "x", STUDY, [json.dumps(WHOLE)])
    (folder / name).unlink()
    os.mkfifo(folder / name)  # which would be waited for
    with pytest.raises(SystemExit, match="2"):
        main(["--report", str(folder)])
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(folder) in said
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")  # which would be read without end
    with pytest.raises(SystemExit, match="2"):
        main(["--report", str(folder)])


def test_names_stand_in_a_line_and_in_their_cells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = ["a|b | c", "\x1b[2J\nerror: all is well"]
    study = STUDY | {"methods": dict.fromkeys(odd, "1"), "dataset": "x\n\x1b[31m| y"}
    choice = json.dumps(WHOLE | {"shown": odd, "choice": odd[1]})
    assert main(["--report", str(write(tmp_path / "x", study, [choice]))]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\nerror" not in said
    assert "## x\\n\\x1b[31m| y" in said
    tables = [line for line in said.splitlines() if line.startswith("|")]
    columns = {line.replace("\\|", "").count("|") for line in tables}
    assert columns == {3, 5} and "a\\|b \\| c" in said
