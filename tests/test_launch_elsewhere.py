"""The launch scripts for other machines: commands, quoting, going on after a preemption.

A cluster is played by small programs on the PATH; everything else is real.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASH = shutil.which("bash") or "bash"
TRAINING = [
    "--config=configs/horse2zebra.py:light",
    "--config.data.source=/shared/my pictures",
    "--config.data.image_size=(256, 256)",
    '--config.train.note=it\'s "$HOME" & `more`',
    "--workdir=/shared/run",
]


def make_program(path: Path, code: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable} -IS\n{code}")  # starts faster so
    path.chmod(0o755)
    return path


def launch(script: str, *arguments: str, tools: Path, **env: str) -> subprocess.CompletedProcess:
    outer = {k: v for k, v in os.environ.items() if k not in ("PYTHON", "VENV")}
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [BASH, ROOT / "launch" / script, *arguments],
        cwd=ROOT,
        env=outer | {"PATH": path} | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def error_line(result: subprocess.CompletedProcess, status: int = 1) -> str:
    assert result.returncode == status
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.fixture
def no_cluster(tmp_path: Path) -> Path:
    """Programs that dry runs must not run: each leaves a file where they lie."""
    tools = tmp_path / "no cluster"
    for name in ("srun", "squeue", "scontrol"):
        make_program(tools / name, f"open({str(tools / 'was_run')!r}, 'w')")
    return tools


def commands(result: subprocess.CompletedProcess, tools: Path) -> list[list[str]]:
    """What a dry run printed, as a shell would read it."""
    assert result.returncode == 0, result.stderr
    assert not (tools / "was_run").exists()
    return [shlex.split(line) for line in result.stdout.splitlines()]


def make_venv(folder: Path, requirements: str) -> Path:
    """An environment that prepare_venv takes for one that has the packages already."""
    wrapper = folder / "bin" / "python"
    wrapper.parent.mkdir(parents=True)
    wrapper.write_text(f'#!{BASH}\nexec {shlex.quote(sys.executable)} "$@"\n')
    wrapper.chmod(0o755)
    files = sorted(ROOT.glob("requirements*.txt"))
    (folder / f".installed-{requirements}").write_text("".join(f.read_text() for f in files))
    return folder


def test_local_gpu_dry_run(tmp_path: Path, no_cluster: Path) -> None:
    result = launch("local_gpu.sh", "--dry-run", *TRAINING, tools=no_cluster, VENV=str(tmp_path))
    prepare, check, train = commands(result, no_cluster)
    assert prepare == ["prepare_venv", "requirements-cuda13.txt"]
    assert check[:2] == ["env", "JAX_PLATFORMS=cuda"]
    assert train == ["exec", f"{tmp_path}/bin/python", "-m", "ugatit_jax.main", *TRAINING]


def test_local_gpu_without_a_gpu_is_one_line(tmp_path: Path) -> None:
    venv = make_venv(tmp_path / "venv", "requirements-cuda13.txt")
    result = launch(
        "local_gpu.sh", *TRAINING, tools=tmp_path, VENV=str(venv), CUDA_VISIBLE_DEVICES=""
    )
    assert "JAX sees no NVIDIA GPU" in error_line(result)
    assert result.stderr.count("\n") == 1


def test_slurm_dry_run(tmp_path: Path, no_cluster: Path) -> None:
    result = launch("slurm.sbatch", *TRAINING, tools=no_cluster, VENV=str(tmp_path), DRY_RUN="1")
    prepare, srun = commands(result, no_cluster)
    assert prepare == ["prepare_venv", "requirements-cuda13.txt"]
    python = [f"{tmp_path}/bin/python", "-m", "ugatit_jax.main"]
    assert srun == ["srun", "--kill-on-bad-exit=0", "--cpus-per-task=8", *python, *TRAINING]


@pytest.mark.parametrize(
    ("status", "state", "requeued"),
    [
        (0, "RUNNING", False),
        (2, "RUNNING", False),
        (130, "RUNNING", True),
        (130, "COMPLETING", False),
    ],
    ids=["done", "bad input", "time limit", "scancel"],
)
def test_slurm_job_queues_again_if_it_was_stopped(
    tmp_path: Path, status: int, state: str, requeued: bool
) -> None:
    (tmp_path / "spool").mkdir()
    copy = shutil.copy(ROOT / "launch" / "slurm.sbatch", tmp_path / "spool")  # as Slurm does
    log = tmp_path / "log"
    write = f"import sys, json; json.dump(sys.argv[1:], open({str(log)!r}, 'w'))"
    make_program(tmp_path / "srun", f"import sys; sys.exit({status})")
    make_program(tmp_path / "squeue", f"print({state!r})")
    make_program(tmp_path / "scontrol", write)
    venv = make_venv(tmp_path / "venv", "requirements-cuda13.txt")
    env = {"SLURM_SUBMIT_DIR": str(ROOT), "SLURM_JOB_ID": "17", "VENV": str(venv)}
    result = launch(copy, *TRAINING, tools=tmp_path, **env)
    assert result.returncode == status, result.stderr
    assert log.exists() == requeued
    if requeued:
        assert json.loads(log.read_text()) == ["requeue", "17"]


def test_slurm_job_from_another_folder_is_refused(tmp_path: Path) -> None:
    result = launch("slurm.sbatch", tools=tmp_path, SLURM_SUBMIT_DIR=str(tmp_path))
    assert f"{tmp_path} is not the repository's root" in error_line(result)
