"""Any value of any field, and any command line: taken by the checks, or refused in one line."""

import contextlib
import io
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ugatit_jax.config.checks import check_config
from ugatit_jax.config.fields import get_config
from ugatit_jax.config.flags import override, parse_flags
from ugatit_jax.config.records import flatten, load_config, save_config
from ugatit_jax.console.errors import InputError, printable
from ugatit_jax.methods import METHODS

ROOT = Path(__file__).parents[2]
FIELDS = sorted({f"{m} {f}" for m in METHODS for f in flatten(get_config(m))})
# What is looked for on a network or read from a large file has tests of its own.
ELSEWHERE = {"content_network", "content_layer"}
ANY_TIME = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

numbers = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([2**31 - 1, 2**31, 2**63, 10**30, -(2**31), 1024, 1025]),
    st.floats(),
)
texts = st.one_of(st.text(max_size=8), st.sampled_from(["", "none", "auto", "lsgan", "(", "\x00"]))
values = st.one_of(
    numbers,
    numbers.map(repr),
    texts,
    st.booleans(),
    st.lists(numbers, max_size=3).map(tuple),
    st.sampled_from(["(64, 64)", "(1e3, 3)", "{[]: 1}", "(" * 500, "-" * 5000 + "1", "9" * 5000]),
)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def said_in_a_line(error: InputError) -> None:
    said = str(error)
    assert said and len(said) < 2000 and "\n" not in said


@pytest.mark.parametrize("method", METHODS)
def test_any_values_are_taken_or_refused(method: str) -> None:
    fields = [f for f in flatten(get_config(method)) if f.partition(".")[2] not in ELSEWHERE]

    @settings(ANY_TIME, max_examples=60)
    @given(st.dictionaries(st.sampled_from(fields), values, min_size=1, max_size=2))
    def check(changes: dict[str, Any]) -> None:
        config = get_config(method)
        try:
            for field, value in changes.items():
                override(config, field, str(value))
            check_config(config, device_count=1)
        except InputError as error:
            said_in_a_line(error)

    check()


def test_a_method_whose_fields_there_are_not_is_told() -> None:
    for of, method in itertools.permutations(METHODS, 2):
        config = get_config(of)
        override(config, "method", method)
        with pytest.raises(InputError, match=f"say the method .*--config=FILE:{method}$"):
            check_config(config, device_count=1)


@settings(ANY_TIME, max_examples=100)
@given(
    st.lists(
        st.one_of(
            texts.filter(lambda x: x not in ("-h", "--help")),
            st.sampled_from(
                [
                    "--continue",
                    "--workdir",
                    "--workdir=x",
                    "--workdir=http://x",
                    "--config",
                    "--config=",
                    "--config=README.md",
                    "--config=configs",
                    "--config=docs/demo.png",
                    "--config=/dev/null",
                    "--config=configs/default.py",
                    "--config=configs/default.py:light,unit",
                    "--config=configs/default.py:\x00",
                    "--config=configs/default.py:,",
                    "--config.train.steps",
                    "--config.=1",
                    "--config..=1",
                    "--num_processes=2",
                    "--num_processes=-1",
                    "--process_id=9",
                    "--process_id=x",
                    "--coordinator=x",
                    "--coordinator=localhost:1",
                    "--start_timeout=-5",
                    "--heartbeat_timeout=1e9",
                    "--",
                ]
            ),
            st.tuples(st.sampled_from(FIELDS), values).map(
                lambda x: f"--config.{x[0].split(' ')[1]}={x[1]}"
            ),
        ),
        max_size=5,
    ),
    st.booleans(),
)
def test_any_command_line_is_taken_or_refused(arguments: list[str], with_one: bool) -> None:
    with contextlib.chdir(ROOT), contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            command = parse_flags([*["--config=configs/demo.py"][:with_one], *arguments])
            check_config(command.config, device_count=1)
        except InputError as error:
            said_in_a_line(error)
    assert said.getvalue() == ""


@settings(ANY_TIME, max_examples=80)
@given(st.data())
def test_any_file_of_a_config_is_read_or_refused(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        save_config(get_config("light"), path)
        fields = json.loads(path.read_text())
        section = data.draw(st.sampled_from([None, *(x for x in fields if x != "method")]))
        if section is None:
            fields = data.draw(jsons | st.dictionaries(st.sampled_from(sorted(fields)), jsons))
        elif isinstance(fields[section], dict) and data.draw(st.booleans()):
            fields[section][data.draw(st.sampled_from(sorted(fields[section])))] = data.draw(jsons)
        else:
            fields[section] = data.draw(jsons)
        path.write_text(json.dumps(fields))
        try:
            check_config(load_config(path), device_count=1)
        except InputError as error:
            said_in_a_line(error)


@pytest.mark.parametrize(
    "content",
    [b"[" * 10**5, b'{"a":' * 10**5, b"[" * 100 + b"]" * 100, b"\xff\xfe", b"1e999", b"9" * 5000],
)
def test_files_that_are_deep_or_no_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot read the config") as error:
        load_config(path)
    said_in_a_line(error.value)


@pytest.mark.parametrize(
    ("section", "name", "value", "words"),
    [
        ("model", "base_width", "64", "model.base_width is '64', and is to be a int"),
        ("model", "base_width", True, "model.base_width is True"),
        ("model", "light", 1, "model.light is 1, and is to be a bool"),
        ("train", "steps", 1e3, "train.steps is 1000.0"),
        ("data", "image_size", [64, None], "image_size is (64, None)"),
        ("data", "source", None, "data.source is None"),
        ("loss", "kind", ["lsgan"], "loss.kind is ['lsgan']"),
    ],
)
def test_a_value_of_another_type_is_named(
    tmp_path: Path, section: str, name: str, value: Any, words: str
) -> None:
    path = tmp_path / "config.json"
    save_config(get_config("light"), path)
    fields = json.loads(path.read_text())
    fields[section][name] = value
    path.write_text(json.dumps(fields))
    with pytest.raises(InputError) as error:
        check_config(load_config(path), device_count=1)
    assert words in str(error.value)


def test_whole_numbers_may_stand_for_others(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    save_config(get_config("light"), path)
    fields = json.loads(path.read_text())
    fields["loss"]["cycle"] = 10
    path.write_text(json.dumps(fields))
    assert load_config(path).loss.cycle == 10.0 and math.isclose(load_config(path).train.beta1, 0.5)


@pytest.mark.parametrize("field", ["train.steps", "train.batch_size", "seed", "log_every"])
def test_numbers_beyond_what_is_counted_are_refused(field: str) -> None:
    config = get_config("light")
    override(config, field, str(2**31))
    with pytest.raises(InputError, match=rf"config\.{field} is 2147483648; it must be "):
        check_config(config, device_count=1)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\udce9", "\\udce9"),
        ("\u202egnp", "\\u202egnp"),
        ("ホゲ 👩‍🚀 é.png", "ホゲ 👩‍🚀 é.png"),
    ],
)
def test_names_are_shown_in_a_line(text: str, shown: str) -> None:
    assert printable(text) == shown
