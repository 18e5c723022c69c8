"""The command line: what it gives, and what it says to mistakes."""

import re
from pathlib import Path

import pytest

from ugatit_jax.config.flags import parse_flags
from ugatit_jax.config.records import different_fields, save_config
from ugatit_jax.console.errors import InputError

ROOT = Path(__file__).parents[2]
DEMO = "--config=configs/demo.py"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_fields_are_set_as_the_type_they_have_in_any_order_and_the_last_one_counts() -> None:
    config, workdir, *_ = parse_flags(
        [
            "--config.train.steps=3",
            "--config.train.learning_rate=1",
            DEMO,
            "--config.train.steps=1_000",
            "--config.data.flip=false",
            "--config.data.image_size=(128, 96)",
            "--config.data.source=/a b/c=d",
        ]
    )
    assert config.train.steps == 1000
    assert isinstance(config.train.learning_rate, float) and config.train.learning_rate == 1
    assert config.data.flip is False
    assert config.data.image_size == (128, 96)
    assert config.data.source == "/a b/c=d"
    assert config.model.light  # the demo's
    assert workdir == Path("runs/demo")


def test_a_space_does_where_an_equals_sign_is() -> None:
    there = parse_flags([DEMO, "--config.train.steps=3", "--config.seed=7", "--workdir=x"])
    spaced = ["--config.train.steps", "3", *DEMO.split("="), "--config.seed", "7", "--workdir", "x"]
    again = parse_flags(spaced)
    assert again.config.to_dict() == there.config.to_dict() and again.workdir == there.workdir
    with pytest.raises(InputError, match=r"^--config.seed has no value: say --config.seed=VALUE$"):
        parse_flags([DEMO, "--config.seed", "--config.train.steps=3"])
    assert parse_flags([DEMO, "--config.train.learning_rate", "-1"]).config.train.learning_rate < 0


def test_options_are_taken_with_underscores_too() -> None:
    others = ["--coordinator=host:12", DEMO, "--config.data.cache_gib=2"]
    old = parse_flags([*others, "--num_processes=3", "--process_id", "2", "--start_timeout=7"])
    new = parse_flags([*others, "--num-processes=3", "--process-id", "2", "--start-timeout=7"])
    assert old.cluster == new.cluster and new.cluster.num_processes == 3
    assert old.config.data.cache_gib == 2


def test_what_there_is_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_flags(["--list"])
    said = capsys.readouterr().out
    assert not ended.value.code
    for file in (ROOT / "configs").glob("[!_]*.py"):
        line = file.read_text().splitlines()[0].strip('"')
        assert re.search(rf"^  {file.stem} +{re.escape(line)}$", said, re.MULTILINE)
    for word, fields in (("light", "model.light=True"), ("cyclegan", ""), ("drit++", "drit: ")):
        assert f"  {word} " in said and fields in said


def test_a_printed_config_is_one_that_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"{DEMO}:cyclegan", "--config.data.image_size=(32, 48)"]
    with pytest.raises(SystemExit) as ended:
        parse_flags([*arguments, "--print-config"])
    assert not ended.value.code
    file = tmp_path / "config.json"
    file.write_text(capsys.readouterr().out)
    again, there = parse_flags([f"--config={file}"]), parse_flags(arguments)
    assert different_fields(again.config, there.config) == {}
    with pytest.raises(InputError, match=r"no field config.loss.cam"):
        parse_flags([*arguments, "--config.loss.cam=1", "--print-config"])


def test_workdir_and_variant() -> None:
    config, workdir, *_ = parse_flags(["--config", "configs/default.py:light", "--workdir", "x/y"])
    assert config.model.light and workdir == Path("x/y")
    for variant, folder in (
        ("", "default"),
        (":light", "default-light"),
        (":light,tensorflow", "default-light-tensorflow"),
    ):
        command = parse_flags([f"--config=configs/default.py{variant}"])
        assert command.workdir == Path("runs", folder)


def test_going_on_with_what_has_changed_has_to_be_asked_for() -> None:
    assert parse_flags([DEMO]).changed is False
    assert parse_flags([DEMO, "--continue"]).changed is True


def test_the_config_of_a_run_runs_the_same_again(tmp_path: Path) -> None:
    file = tmp_path / "runs" / "first" / "config.json"
    file.parent.mkdir(parents=True)
    first = parse_flags(["--config=configs/default.py:light", "--config.data.image_size=(64, 48)"])
    save_config(first.config, file)
    again = parse_flags([f"--config={file}"])
    assert different_fields(again.config, first.config) == {}
    assert again.config.data.image_size == (64, 48)
    assert again.workdir == file.parent  # where it goes on
    elsewhere = parse_flags([f"--config={file}", "--config.train.steps=7", "--workdir=x"])
    assert different_fields(elsewhere.config, first.config) == {"train.steps": (7, 1_000_000)}
    assert elsewhere.workdir == Path("x")
    for arguments, words in (
        ([f"--config={file}:light"], "a run's config has no variants; leave out :light"),
        ([f"--config={file}", "--config.train.step=1"], "did you mean config.train.steps?"),
        ([f"--config={file.parent / 'run.json'}"], "there is no file"),
    ):
        with pytest.raises(InputError) as error:
            parse_flags(arguments)
        assert words in str(error.value)


HEAD = "from ugatit_jax.config.fields import get_config as default\n\n\n"


@pytest.mark.parametrize(
    ("program", "line", "words"),
    [
        (
            "def get_config(variant):\n    config = default(variant)\n"
            "    config.train.learning_rte = 1e-4\n    return config\n",
            6,
            'Did you mean "learning_rate" instead of "learning_rte"?',
        ),
        ("def get_config(variant):\n    return {'a': default()}[variant]\n", 5, "light"),
        (
            "def get_config(variant):\n    return change(default())\n\n\n"
            "def change(config):\n    config.train.steps = 'many'\n    return config\n",
            9,
            "steps",
        ),
        ("def get_config():\n    return default()\n", None, "takes 0 positional arguments but 1"),
    ],
)
def test_a_mistake_inside_an_experiment_is_told_with_its_place(
    tmp_path: Path, program: str, line: int | None, words: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(HEAD + program)
    with pytest.raises(InputError) as error:
        parse_flags([f"--config={file}:light"])
    place = str(file) if line is None else f"{file}, line {line}"
    assert str(error.value).startswith(f"--config={file}:light: {place}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "--config.train.lr=1",
            "there is no field config.train.lr; .* config.train.learning_rate,",
        ),
        ("--config.train.learning_rat=1", "did you mean config.train.learning_rate?"),
        ("--config.trian.learning_rate=1", "did you mean config.train.learning_rate?"),
        ("--config.learning_rate=1", "did you mean config.train.learning_rate?"),
        ("--config.samples.evry=1", "did you mean config.samples.every?"),
        ("--config.checkpoint.evry=1", "did you mean config.checkpoint.every?"),
        (
            "--config.nothing.like_it=1",
            "like_it; ugatit_jax/config/fields.py explains",
        ),
        ("--config.train=1", "there is no field config.train; there are config.train.accumulate,"),
        ("--config.train.steps.more=1", "there is no field config.train.steps.more; "),
        ("--config.train.steps=abc", "config.train.steps is 'abc'; it must be a whole number"),
        ("--config.train.steps=1.5", "config.train.steps is '1.5'; it must be a whole number"),
        ("--config.train.steps=", "config.train.steps is ''; it must be a whole number"),
        ("--config.loss.cam=much", "config.loss.cam is 'much'; it must be a number"),
        ("--config.data.flip=maybe", "config.data.flip is 'maybe'; it must be True or False"),
        ("--config.data.image_size=64", "image_size is '64'; it must be like (64, 64)"),
        ("--config.data.image_size=(64,)", "it must be like (64, 64)"),
        ("--config.data.image_size=64,6.4", "it must be like (64, 64)"),
        ("--config.data.image_size=big", "it must be like (64, 64)"),
        ("--config.train.steps", "--config.train.steps has no value"),
        ("stray", "unknown argument 'stray'; there are"),
        ("--workdirr=x", "unknown argument '--workdirr=x'; there are"),
        ("--workdir", "argument --workdir: expected one argument"),
        (
            "--workdir=s3://bucket/run",
            "s3://bucket/run is neither a folder nor an address like gs:",
        ),
        (
            "--workdir=gs:///run",
            "gs:///run is neither a folder nor an address like gs://BUCKET/NAME",
        ),
    ],
)
def test_mistakes_after_the_experiment(arguments: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        parse_flags([DEMO, arguments])
    for part in words.split(" .* "):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no experiment: say --config=NAME; there are ablation, cat2dog, "),
        (
            ["--config.train.steps=3"],
            "no experiment: say --config=NAME; there are ablation, cat2dog, ",
        ),
        (["--config="], "no experiment: say --config=NAME; there are ablation, cat2dog, "),
        (["--config"], "argument --config: expected one argument"),
        (["--config=demos"], "--config=demos: there is no file demos; there are ablation, "),
        (["--config=configs"], "there is no file configs; there are ablation, "),
        (["--config=configs/demo.py:bogus"], "no variant 'bogus': leave it out, or say :light"),
        (["--config=LICENSE"], "LICENSE has no Python function get_config"),
        (["--config=ugatit_jax/__init__.py"], "__init__.py has no Python function get_config"),
    ],
)
def test_mistakes_in_the_experiment(arguments: list[str], words: str) -> None:
    with pytest.raises(InputError) as error:
        parse_flags(arguments)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_experiments_are_known_by_name_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = parse_flags(["--config=configs/selfie2anime.py:light"])
    monkeypatch.chdir(tmp_path)
    command = parse_flags(["--config=selfie2anime:light"])
    assert command.config.to_dict() == there.config.to_dict()
    assert command.workdir == there.workdir == Path("runs/selfie2anime-light")
    with pytest.raises(InputError, match=r"^--config=a.py: there is no file a.py; there are"):
        parse_flags(["--config=a.py"])
