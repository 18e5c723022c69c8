"""Every command on every page is read as far as can be without training.

`ugatit` and its modules: in full, by the command's own parser, configs loaded and checked. Launch
scripts: run dry, and the training's arguments read as above. Benchmarks: the options are the
program's. Docker, kubectl, pip: the files and extras are there. `test_readme.py` runs the README's.
"""

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from readme import PAGES, ROOT, commands, headings

from ugatit_jax.__main__ import COMMANDS
from ugatit_jax.config.checks import check_config
from ugatit_jax.config.flags import parse_experiment, parse_flags

DRY = ("local_gpu.sh", "tpu_vm.sh", "tpu_pod.sh", "slurm.sbatch")
OTHERS = {"git", "python3", "tensorboard", "sphinx-build", "source"}
PLACEHOLDERS = re.compile(r"…|\b(?:NAME|COMMAND|DIR|FILE|FIELD|RUN)\b")
EVERY = [(page, command) for page in PAGES for command in commands(page)]


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def in_prose(page: str) -> list[str]:
    """Whole commands within the sentences and tables of a page."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    found = re.findall(r"`((?:ugatit|python -m|docker|pip install) [^`]+|launch/\S+ [^`]+)`", text)
    found = [" ".join(x.split()) for x in found]
    return [x for x in found if not PLACEHOLDERS.search(x) and " --" in x]


def read_command(name: str, arguments: list[str]) -> None:
    """Read the arguments of a command of the package."""
    module = importlib.import_module(f"ugatit_jax.{name}")
    if {"--list", "--print-config"} & {*arguments}:
        with pytest.raises(SystemExit) as ended:
            parse_flags(arguments)
        assert not ended.value.code
    elif name == "main":
        read_training(arguments)
    elif name == "plan":
        config, known = parse_experiment(module.make_parser(), arguments, "")
        assert known.topology and check_config(config, device_count=1)
    else:
        module.make_parser().parse_args(arguments)


def read_training(arguments: list[str]) -> None:
    """Read the arguments of a training, and check what they make of the config."""
    command = parse_flags(arguments)
    check_config(command.config, device_count=1)


def read_benchmark(module: str, arguments: list[str]) -> None:
    """Look a benchmark's options up in its program, and in what it shares with others."""
    source = (ROOT / "benchmarks" / f"{module}.py").read_text()
    source += (ROOT / "benchmarks" / "timing" / "timed_training.py").read_text()
    for argument in arguments:
        option = argument.partition("=")[0]
        assert not option.startswith("--") or f'"{option}"' in source or option == "--config", (
            argument
        )


def run_dry(script: str, arguments: list[str]) -> None:
    """Have a launch script print what it would run."""
    asked = [] if "--dry-run" in arguments or script.endswith("sbatch") else ["--dry-run"]
    where = 1 if "tpu_pod" in script else 0  # after what to do
    given = [*arguments[:where], *asked, *arguments[where:]]
    ended = subprocess.run(
        ["bash", script, *given],
        env=os.environ | {"DRY_RUN": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    training = arguments[first_field(arguments) :]
    if training:
        assert shlex.quote(training[0]) in ended.stdout and training[-1] in ended.stdout
        read_training(training)


def first_field(arguments: list[str]) -> int:
    found = (i for i, x in enumerate(arguments) if x.startswith("--config"))
    return next(found, len(arguments))


def value_of(option: str, words: list[str]) -> str:
    (found,) = [x.partition("=")[2] for x in words if x.startswith(f"{option}=")]
    return found


def read(command: str) -> None:
    """Raise an error for a command that could not work."""
    match shlex.split(command):
        case ["ugatit", name, *rest]:
            read_command(COMMANDS[name][0], rest)
        case ["python", "-m", module, *rest] if module.startswith("ugatit_jax."):
            read_command(module.removeprefix("ugatit_jax."), rest)
        case ["python", "-m", module, *rest] if module.startswith("benchmarks."):
            read_benchmark(module.removeprefix("benchmarks."), rest)
        case ["npm", "pack", *_]:
            pass  # in tests/web/test_browser_page.py, with the next
        case ["python", "docs/browser/build.py", *options]:
            text = (ROOT / "docs" / "browser" / "build.py").read_text()
            assert all(f'"{x}"' in text for x in options if x.startswith("--"))
        case ["python", file] | [".ci/run" as file]:
            assert (ROOT / file).is_file()
        case ["./launch/demo.sh" | "launch/demo.sh", *rest]:
            read_training(["--config=configs/demo.py", *rest])
        case ["./launch/test.sh" | "launch/test.sh", *_]:
            assert os.access(ROOT / "launch" / "test.sh", os.X_OK)
        case ["sbatch", *options, "launch/slurm.sbatch"] | ["sbatch", *options]:
            at = options.index("launch/slurm.sbatch")
            assert all(x.startswith("--nodes=") for x in options[:at])
            run_dry("launch/slurm.sbatch", options[at + 1 :])
        case ["DRY_RUN=1", "bash", script, *rest]:
            run_dry(script, rest)
        case [script, *rest] if Path(script).name in DRY:
            run_dry(script, rest)
        case ["kubectl", "apply", *options, "-f", file]:
            assert (ROOT / file).is_file() and {*options} <= {"--dry-run=server"}
        case ["docker", "build", *options, "."]:
            assert (ROOT / value_of("--file", options)).is_file()
        case ["docker", "run", *words]:
            (at,) = [i for i, x in enumerate(words) if x.startswith("ugatit_jax")]
            read_command(COMMANDS[words[at + 1]][0], words[at + 2 :])
        case ["pip", "install", "-r", file]:
            assert (ROOT / file).is_file()
        case ["pip", "install", *words]:
            read_extras(words[-1])
        case [program, *_]:
            assert program in OTHERS, f"nobody reads {command!r}"


def read_extras(requirement: str) -> None:
    """The extras that are asked for are those of the package."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    extras = settings["dynamic"]["optional-dependencies"]
    if asked := re.fullmatch(r"(?:\.|ugatit_jax)\[(.*)\]", requirement):
        assert {*asked[1].split(",")} <= extras.keys()


@pytest.mark.parametrize(("page", "command"), EVERY, ids=lambda x: str(x).replace("/", "."))
def test_a_command_on_a_page_can_be_given(
    page: str, command: str, request: pytest.FixtureRequest
) -> None:
    if "gs://" in command:
        request.getfixturevalue("bucket")  # the stand-in for Google Cloud Storage
    read(command.replace("gs://BUCKET", "gs://bucket"))


@pytest.mark.parametrize("page", PAGES)
def test_a_command_in_a_sentence_can_be_given(page: str) -> None:
    for command in in_prose(page):
        read(command)


@pytest.mark.parametrize(
    "command",
    [
        "ugatit train --config=folder --config.train.step=3",
        "ugatit translate emoji x.png --out=y --fits=pad",
        "ugatit plan --config=nothing --topology=cpu",
        "launch/local_gpu.sh --config=folder:dark",
        "docker build --file=launch/Dockerfile --tag=x .",
        'pip install -e ".[tarin]"',
        "python -m benchmarks.methods --seconds=3",
        "make me a sandwich",
    ],
)
def test_a_command_that_could_not_work_would_be_found(command: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        read(command)


@pytest.mark.parametrize("page", [*PAGES, "benchmarks/RESULTS.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in headings(str(file.relative_to(ROOT))), target
    for name in re.findall(r"`((?:configs|tests|launch|ugatit_jax)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), name


def test_every_page_is_in_the_contents() -> None:
    contents = (ROOT / "docs" / "index.md").read_text()
    pages = {Path(page).stem for page in PAGES if page.startswith("docs/")} - {"index"}
    listed = re.findall(r"^([\w]+)$", contents, re.MULTILINE)
    assert pages == {*listed} and len(listed) == len(pages)


def test_the_front_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 900


@pytest.mark.parametrize("name", ["config", "cli"])
def test_a_generated_page_is_what_would_be_generated(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    generate: Any = importlib.import_module("generate")
    page = getattr(generate, f"{name}_page")()
    assert (ROOT / "docs" / f"{name}.md").read_text() == page, "run python docs/generate.py"
    sys.modules.pop("generate")
