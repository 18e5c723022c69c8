"""`ugatit COMMAND`, and `python -m ugatit_jax COMMAND`, are the commands of the package."""

import importlib
from pathlib import Path

import pytest

import ugatit_jax
from ugatit_jax.__main__ import COMMANDS, main

PACKAGE = Path(ugatit_jax.__file__).parent


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    listed = capsys.readouterr().out
    modules = {module for module, _ in COMMANDS.values()}
    files = {path.stem for path in PACKAGE.glob("[!_]*.py")}
    assert files <= modules and all(f"  {name} " in listed for name in COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == ugatit_jax.__version__


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_its_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"usage: ugatit {name} " in said
    *_, examples = said.partition("examples:\n")
    lines = [line.split()[:2] for line in examples.splitlines()]
    assert len(lines) >= 2 and lines == [["ugatit", name]] * len(lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_word_of_a_help_is_explained(name: str) -> None:
    parser = importlib.import_module(f"ugatit_jax.{COMMANDS[name][0]}").make_parser()
    for action in parser._actions:
        assert action.help, action.option_strings
        assert "_" not in "".join(action.option_strings)
        takes = action.nargs != 0 and not action.choices
        assert not takes or action.metavar, action.option_strings


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["trian"], "no command 'trian'; did you mean train?"),
        (["sing"], "no command 'sing'; there are train, translate, "),
        (["train"], "no experiment: say --config=NAME"),
        (["compare", "emoji", "--out=x"], "emoji alone compares with nothing"),
    ],
)
def test_a_mistake_is_one_line(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2 and message in capsys.readouterr().err
