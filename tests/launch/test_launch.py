"""The launch scripts: what they refuse, the Python they take, an environment made only once."""

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [*sorted(ROOT.glob("launch/*.sh")), ROOT / "launch/slurm.sbatch", ROOT / ".ci/run"]
BASH = shutil.which("bash") or "bash"


def run_bash(code: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """`code` after `source launch/setup.sh`, from a folder that is not the repository's root."""
    outer = {k: v for k, v in os.environ.items() if k not in ("PYTHON", "VENV")}
    return subprocess.run(
        [BASH, "-c", f"source {shlex.quote(str(ROOT / 'launch' / 'setup.sh'))}; {code}"],
        cwd=cwd,
        env=outer | env,
        capture_output=True,
        text=True,
        check=False,
    )


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def make_python(path: Path, different: str = "") -> Path:
    """An executable: this Python, with `different` run before whatever it is asked to run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = f"import sys; sys._base_executable = {str(path)!r}; {different}\nexec(sys.argv[2])"
    path.write_text(f'#!{BASH}\nexec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"\n')
    path.chmod(0o755)
    return path


TOO_OLD = "sys.version_info = (3, 10, 14)"
TOO_NEW = "sys.version_info = (3, 14, 0)"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_bash(script: Path) -> None:
    subprocess.run([BASH, "-n", script], check=True)
    run_by_others = script.name in ("setup.sh", "slurm.sbatch")  # sourced; read by sbatch
    assert os.access(script, os.X_OK) != run_by_others


@pytest.mark.parametrize("different", [TOO_OLD, TOO_NEW], ids=["old", "new"])
def test_python_of_another_version_is_refused(tmp_path: Path, different: str) -> None:
    python = make_python(tmp_path / "python", different)
    result = run_bash(
        "prepare_venv requirements.txt", tmp_path, PYTHON=str(python), VENV=str(tmp_path / "venv")
    )
    assert f"PYTHON={python} is not Python 3.11, 3.12 or 3.13" in error_line(result)
    assert not (tmp_path / "venv").exists()


def test_python_is_the_first_fit_one_on_the_path(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    make_python(tools / "python3", TOO_NEW)
    make_python(tools / "python3.13", TOO_OLD)
    (tools / "dirname").symlink_to(shutil.which("dirname") or "dirname")
    assert "no Python 3.11, 3.12 or 3.13 found" in error_line(
        run_bash("find_python", tmp_path, PATH=str(tools))
    )
    fit = make_python(tools / "python3.12")
    result = run_bash("find_python", tmp_path, PATH=str(tools))
    assert result.stdout.strip() == str(fit)


def test_python_without_ensurepip_is_refused(tmp_path: Path) -> None:
    python = make_python(tmp_path / "python", "sys.modules['ensurepip'] = None")
    result = run_bash("prepare_venv requirements.txt", tmp_path, PYTHON=str(python), VENV="venv")
    assert "apt install python3-venv" in error_line(result)


def test_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    result = run_bash("prepare_venv requirements.txt", tmp_path, VENV=str(tmp_path))
    assert "is not a virtual environment" in error_line(result)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.slow
def test_environment_is_made_once_and_follows_the_requirements(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    requirements = folder / "requirements.txt"
    offline = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": folder.as_uri(),
        "PYTHON": sys.executable,
    }

    def prepare() -> subprocess.CompletedProcess[str]:
        code = f"prepare_venv {shlex.quote(str(requirements))}; "
        show = '"$VENV/bin/python" -c "import greeting; print(greeting.TEXT)"'
        return run_bash(code + show, folder, VENV="venv", **offline)

    def installed() -> bool:
        return "Successfully installed" in prepared.stdout

    # The first installation breaks off: its environment is not taken for a whole one.
    requirements.write_text("greeting==1\n")
    prepared = prepare()
    assert prepared.returncode == 1
    assert "could not install the packages" in prepared.stderr
    left_over = folder / "venv" / "left-over"
    left_over.touch()

    make_wheel(folder, version=1, text="hello")
    prepared = prepare()
    assert prepared.stdout.endswith("hello\n") and installed()
    assert not left_over.exists()

    # At once, and without the place that packages come from.
    wheel = next(folder.glob("*.whl"))
    wheel.unlink()
    prepared = prepare()
    assert prepared.stdout == "hello\n" and not prepared.stderr

    # The requirements change: installed into the same environment.
    make_wheel(folder, version=2, text="good morning")
    requirements.write_text("greeting==2\n")
    left_over.touch()
    prepared = prepare()
    assert prepared.stdout.endswith("good morning\n") and installed()
    assert left_over.exists()


def make_wheel(folder: Path, version: int, text: str) -> None:
    info = f"greeting-{version}.dist-info"
    with zipfile.ZipFile(folder / f"greeting-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("greeting.py", f"TEXT = {text!r}\n")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
