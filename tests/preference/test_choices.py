"""The file of choices: what a crash, a full disk or an editor can do to it."""

import json
import os
import threading
from pathlib import Path

import pytest

from ugatit_jax.preference.choices import Choice, Choices


def choice(person: str = "kl", picture: str = "a.png", method: str = "red") -> Choice:
    return Choice(person, picture, method, ["blue", "red"], 1.5, "2026-11-29T12:00:00+00:00")


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    choices = Choices(tmp_path)
    added = [choice(), choice("ö", "x/\udcff.png"), choice(picture="b.png", method="blue")]
    for each in added:
        choices.add(each)
    assert Choices(tmp_path).all() == choices.all() == added
    assert Choices(tmp_path).of("kl") == {"a.png": added[0], "b.png": added[2]}
    lines = (tmp_path / "choices.jsonl").read_text().splitlines()
    assert [json.loads(line)["choice"] for line in lines] == ["red", "red", "blue"]


def test_the_last_choice_of_a_picture_holds_and_the_first_stays_in_the_file(tmp_path: Path) -> None:
    choices = Choices(tmp_path)
    choices.add(choice(method="red"))
    choices.add(choice(method="blue"))
    assert [each.choice for each in Choices(tmp_path).all()] == ["blue"]
    assert len(choices.file.read_text().splitlines()) == 2


@pytest.mark.parametrize("left", [1, 40, -2])
def test_a_half_written_last_line_is_told_and_spoils_nothing(tmp_path: Path, left: int) -> None:
    choices = Choices(tmp_path)
    choices.add(choice())
    whole = choices.file.read_bytes()
    choices.add(choice("mm"))
    second = choices.file.read_bytes()[len(whole) :]
    torn = whole + second[:left]
    choices.file.write_bytes(torn)

    again = Choices(tmp_path)
    assert again.all() == [choice()]
    [said] = again.skipped
    assert said == f"{choices.file}: line 2 is no whole choice and is skipped"
    again.add(choice("oo"))
    again.add(choice("pp"))
    assert again.file.read_bytes().startswith(torn)
    last = Choices(tmp_path)
    assert [each.person for each in last.all()] == ["kl", "oo", "pp"]
    assert last.skipped == [said]


def test_a_line_without_its_end_that_is_whole_counts(tmp_path: Path) -> None:
    choices = Choices(tmp_path)
    choices.add(choice())
    choices.file.write_bytes(choices.file.read_bytes().rstrip())
    again = Choices(tmp_path)
    assert again.all() == [choice()] and not again.skipped
    again.add(choice("mm"))
    assert [each.person for each in Choices(tmp_path).all()] == ["kl", "mm"]


FIELDS = {"person": "k", "picture": "a", "choice": "r", "shown": ["r"], "seconds": 1, "time": ""}


@pytest.mark.parametrize(
    "line",
    [
        "[1]",
        "null",
        json.dumps({"person": "kl"}),
        json.dumps(FIELDS | {"more": 1}),
        json.dumps(FIELDS | {"person": 1}),
        json.dumps(FIELDS | {"choice": "another"}),
        json.dumps(FIELDS | {"shown": "r"}),
        json.dumps(FIELDS | {"seconds": ""}),
        "\ufffd\x00",
    ],
)
def test_lines_that_are_no_choices_are_told(tmp_path: Path, line: str) -> None:
    choices = Choices(tmp_path)
    choices.add(choice())
    choices.file.write_text(line + "\n" + choices.file.read_text())
    again = Choices(tmp_path)
    assert again.all() == [choice()]
    assert again.skipped == [f"{choices.file}: line 1 is no whole choice and is skipped"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's disk that is always full")
def test_what_cannot_be_written_is_not_taken_for_chosen(tmp_path: Path) -> None:
    (tmp_path / "choices.jsonl").symlink_to("/dev/full")
    choices = Choices(tmp_path / "empty")
    choices.file = tmp_path / "choices.jsonl"
    with pytest.raises(OSError, match="No space left"):
        choices.add(choice())
    assert choices.all() == []


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    choices = Choices(tmp_path)

    def write(person: str) -> None:
        for i in range(20):
            choices.add(choice(person, f"{i}.png"))

    threads = [threading.Thread(target=write, args=[str(i)]) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Choices(tmp_path)
    assert len(again.all()) == 100 and not again.skipped


def test_a_choice_is_on_the_disk_before_the_next_thing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        synced.append((tmp_path / "choices.jsonl").read_bytes())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    Choices(tmp_path).add(choice())
    assert len(synced) == 2 and synced[0] == synced[1]  # the file, and the folder it is new in
    assert synced[0].endswith(b"}\n")
