"""The launch scripts for other machines: commands, quoting, going on after a preemption.

The clouds and clusters are played by small programs on the PATH; everything else is real.
"""

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASH = shutil.which("bash") or "bash"
TRAINING = [
    "--config=configs/horse2zebra.py:light",
    "--config.data.source=gs://b/my pictures",
    "--config.data.image_size=(256, 256)",
    '--config.train.note=it\'s "$HOME" & `more`',
    "--workdir=gs://b/run",
]
TPU = ["pod", "us-central1-a", "v5litepod-16"]
needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the commit is what is sent")

# Plays a TPU from plan.json: the exit statuses of the trainings, what state each leaves the TPU in,
# and the state that a request ends in, one after the other.
GCLOUD = """
import json, pathlib, sys
home = pathlib.Path(__file__).parent
with (home / "log").open("a") as log:
    print(json.dumps(sys.argv[1:]), file=log)
plan, vm, request = (home / name for name in ("plan.json", "vm", "request"))
todo = json.loads(plan.read_text())

def show(state):
    if not state.exists():
        sys.exit("ERROR: (gcloud.compute.tpus.describe) NOT_FOUND: Resource was not found.")
    print(state.read_text())

match sys.argv[3:5]:
    case "tpu-vm", "describe":
        show(vm)
    case "queued-resources", "describe":
        show(request)
        if request.exists() and request.read_text() == "WAITING_FOR_RESOURCES":
            request.write_text(todo["requests"].pop(0))
            if request.read_text() == "ACTIVE":
                vm.write_text("READY")
    case "queued-resources", "create":
        assert not request.exists()
        if todo["requests"][0] == "ERROR":
            plan.write_text(json.dumps(todo | {"requests": todo["requests"][1:]}))
            sys.exit("ERROR: (gcloud.compute.tpus.create) RESOURCE_EXHAUSTED")
        request.write_text("WAITING_FOR_RESOURCES")
    case "queued-resources", "delete":
        request.unlink()
        vm.unlink(missing_ok=True)
    case "tpu-vm", "ssh" if any("ugatit_jax.main" in argument for argument in sys.argv):
        status, state = todo["trainings"].pop(0)
        vm.write_text(state)
        plan.write_text(json.dumps(todo))
        sys.exit(status)
    case "tpu-vm", "ssh" | "scp":
        pass
    case _:
        sys.exit("unknown command")
plan.write_text(json.dumps(todo))
"""


def make_program(path: Path, code: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable} -IS\n{code}")  # starts faster so
    path.chmod(0o755)
    return path


def launch(script: str, *arguments: str, tools: Path, **env: str) -> subprocess.CompletedProcess:
    outer = {k: v for k, v in os.environ.items() if k not in ("PYTHON", "VENV", "RUNTIME")}
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
def no_cloud(tmp_path: Path) -> Path:
    """Programs that dry runs must not run: each leaves a file where they lie."""
    tools = tmp_path / "no cloud"
    for name in ("gcloud", "srun", "squeue", "scontrol"):
        make_program(tools / name, f"open({str(tools / 'was_run')!r}, 'w')")
    return tools


def commands(result: subprocess.CompletedProcess, tools: Path) -> list[list[str]]:
    """What a dry run printed, as a shell would read it."""
    assert result.returncode == 0, result.stderr
    assert not (tools / "was_run").exists()
    return [shlex.split(line) for line in result.stdout.splitlines()]


def make_venv(folder: Path, requirements: str) -> Path:
    """An environment that prepare_venv takes for one that has the packages already.

    Its Python is the one that runs the tests, whose packages nothing may change.
    """
    wrapper = folder / "bin" / "python"
    wrapper.parent.mkdir(parents=True)
    refuse = (
        'case "$*" in *"pip install"*) echo "error: nothing is installed here" >&2; exit 9 ;; esac'
    )
    wrapper.write_text(f'#!{BASH}\n{refuse}\nexec {shlex.quote(sys.executable)} "$@"\n')
    wrapper.chmod(0o755)
    code = f"source launch/setup.sh; wanted_packages {requirements}"
    said = subprocess.run([BASH, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    (folder / f".installed-{requirements}").write_text(said.stdout)
    return folder


def command_of(ssh: list[str]) -> str:
    """What a `gcloud … ssh` runs on the workers."""
    [command] = [a.removeprefix("--command=") for a in ssh if a.startswith("--command=")]
    return command


@needs_git
def test_tpu_dry_run_prints_every_command(no_cloud: Path) -> None:
    options = ["--dry-run", "--spot"]
    result = launch("tpu_vm.sh", *options, *TPU, *TRAINING, tools=no_cloud)
    printed = commands(result, no_cloud)
    create, wait, _, archive, scp, install, train, delete = printed
    where = ["--zone=us-central1-a", "--quiet"]
    tpus = ["gcloud", "compute", "tpus"]
    assert create == [
        *[*tpus, "queued-resources", "create", "pod", "--node-id=pod"],
        *["--accelerator-type=v5litepod-16", "--runtime-version=v2-alpha-tpuv5-lite", "--spot"],
        *where,
    ]
    assert wait == [*tpus, "tpu-vm", "describe", "pod", "--format=value(state)", *where]
    assert archive[:2] == ["git", "archive"]
    assert scp[3:7] == ["tpu-vm", "scp", "build/ugatit_jax.tar.gz", "pod:"]
    assert "--worker=all" in scp and "--worker=all" in install and "--worker=all" in train
    assert command_of(install).endswith("ugatit_jax/launch/tpu_worker.sh")
    assert delete == [*tpus, "queued-resources", "delete", "pod", "--force", *where]

    # The pod's script, step by step, does the same.
    steps = []
    for step in ("create", "install", "run", "delete"):
        arguments = TRAINING if step == "run" else []
        result = launch("tpu_pod.sh", step, *options, *TPU, *arguments, tools=no_cloud)
        steps += commands(result, no_cloud)
    assert steps == printed


@needs_git
def test_tpu_workers_get_the_arguments_as_given(tmp_path: Path, no_cloud: Path) -> None:
    result = launch("tpu_pod.sh", "run", "--dry-run", *TPU, *TRAINING, tools=no_cloud)
    [ssh] = commands(result, no_cloud)
    folder = tmp_path / "ugatit_jax"
    make_program(folder / ".venv/bin/python", "import json, sys; print(json.dumps(sys.argv[1:]))")

    def on_worker(command: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [BASH, "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert json.loads(on_worker(command_of(ssh)).stdout) == ["-m", "ugatit_jax.main", *TRAINING]

    # A second training on the same worker waits for the first one, and gives up as ssh would.
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = on_worker(command_of(ssh).replace("-w 60", "-w 0"))
    assert (second.returncode, second.stdout) == (255, "")


@needs_git
@pytest.mark.parametrize(
    ("trainings", "requests", "status", "deleted"),
    [
        ([(0, "READY")], ["ACTIVE"], 0, 1),
        ([(255, "PREEMPTED"), (1, "PREEMPTED"), (0, "READY")], ["ACTIVE"] * 3, 0, 3),
        ([(255, "READY"), (130, "READY"), (0, "READY")], ["ACTIVE"], 0, 1),
        ([(0, "READY")], ["SUSPENDED", "ACTIVE"], 0, 2),
        ([(2, "READY")], ["ACTIVE"], 2, 0),
        ([(255, "PREEMPTED"), (1, "READY")], ["ACTIVE"] * 2, 1, 1),
        ([], ["FAILED"], 1, 0),
        ([(255, "PREEMPTED"), (0, "READY")], ["ACTIVE", "ERROR", "ACTIVE"], 0, 2),
        ([*[(75, "READY")] * 5, (130, "READY"), (75, "READY"), (0, "READY")], ["ACTIVE"], 0, 1),
        ([(75, "READY")] * 6, ["ACTIVE"], 75, 0),
    ],
    ids=[
        *["at once", "preempted", "cut off", "lost early", "bad input", "later error", "refused"],
        *["short of chips", "storage that fails", "storage that goes on failing"],
    ],
)
def test_tpu_training_goes_on_until_it_is_done(
    tmp_path: Path,
    trainings: list[tuple[int, str]],
    requests: list[str],
    status: int,
    deleted: int,
) -> None:
    make_program(tmp_path / "gcloud", GCLOUD)
    (tmp_path / "plan.json").write_text(json.dumps({"trainings": trainings, "requests": requests}))
    result = launch("tpu_pod.sh", "all", *TPU, *TRAINING, tools=tmp_path, PAUSE="0")
    assert result.returncode == status, result.stderr
    if status:
        assert "launch/tpu_pod.sh delete pod us-central1-a v5litepod-16" in error_line(
            result, status
        )
    log = [json.loads(line)[2:] for line in (tmp_path / "log").read_text().splitlines()]
    verbs = [tuple(call[:2]) for call in log]
    assert verbs.count(("queued-resources", "create")) == len(requests)
    assert verbs.count(("queued-resources", "delete")) == deleted
    trained = [call for call in log if call[:2] == ["tpu-vm", "ssh"] and "main" in " ".join(call)]
    assert len(trained) == len(trainings)
    assert all(call == trained[0] for call in trained)
    assert json.loads((tmp_path / "plan.json").read_text()) == {"trainings": [], "requests": []}


@needs_git
def test_tpu_request_that_is_wrong_ends_it(tmp_path: Path) -> None:
    make_program(tmp_path / "gcloud", GCLOUD)
    (tmp_path / "plan.json").write_text(json.dumps({"requests": ["ERROR"]}))
    result = launch("tpu_vm.sh", *TPU, *TRAINING, tools=tmp_path, PAUSE="0")
    assert result.returncode == 1
    assert "RESOURCE_EXHAUSTED" in result.stderr


@needs_git
def test_tpu_workers_get_the_commit(tmp_path: Path) -> None:
    make_program(tmp_path / "gcloud", GCLOUD)
    (tmp_path / "plan.json").write_text("{}")
    assert launch("tpu_pod.sh", "install", *TPU, tools=tmp_path).returncode == 0
    with tarfile.open(ROOT / "build" / "ugatit_jax.tar.gz") as archive:
        names = archive.getnames()
    needed = {
        "launch/tpu_worker.sh",
        "requirements-tpu.txt",
        "ugatit_jax/main.py",
        "configs",
        "ugatit_jax/experiments/demo.py",
    }
    assert needed <= {*names}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "create, install, run, delete or all"),
        (["everything", *TPU], "create, install, run, delete or all"),
        (["create", *TPU[:2]], "NAME ZONE TYPE"),
        (["create", *TPU[:2], "--spot"], "NAME ZONE TYPE"),
        (["create", "--dryrun", *TPU], "NAME ZONE TYPE"),
        (["run", *TPU], "train what?"),
        (["all", *TPU, "--config=a", "--workdir=runs/a"], "give --workdir=gs://"),
    ],
)
def test_tpu_arguments_are_checked_first(
    no_cloud: Path, arguments: list[str], message: str
) -> None:
    assert message in error_line(launch("tpu_pod.sh", *arguments, tools=no_cloud))
    assert not (no_cloud / "was_run").exists()


def test_tpu_worker_prepares_the_environment(tmp_path: Path) -> None:
    log = tmp_path / "log"
    find = f"import sys; open({str(log)!r}, 'a').write(sys.argv[2] + ' '); print(sys.executable)"
    make_program(tmp_path / ".local/bin/uv", find)
    venv = make_venv(tmp_path / "venv", "requirements-tpu.txt")
    result = launch("tpu_worker.sh", tools=tmp_path, HOME=str(tmp_path), VENV=str(venv))
    assert result.returncode == 0, result.stderr
    assert log.read_text() == "install find "


def test_local_gpu_dry_run(tmp_path: Path, no_cloud: Path) -> None:
    result = launch("local_gpu.sh", "--dry-run", *TRAINING, tools=no_cloud, VENV=str(tmp_path))
    prepare, check, train = commands(result, no_cloud)
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


def test_slurm_dry_run(tmp_path: Path, no_cloud: Path) -> None:
    result = launch("slurm.sbatch", *TRAINING, tools=no_cloud, VENV=str(tmp_path), DRY_RUN="1")
    prepare, srun = commands(result, no_cloud)
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


@pytest.mark.parametrize(
    ("statuses", "status"), [([75] * 5 + [0], 0), ([75, 2], 2), ([75] * 6, 75)]
)
def test_slurm_job_tries_again_what_could_not_be_read(
    tmp_path: Path, statuses: list[int], status: int
) -> None:
    left = tmp_path / "left"
    left.write_text(json.dumps(statuses))
    srun = f"import json, pathlib, sys; left = pathlib.Path({str(left)!r})\n"
    srun += "now, *rest = json.loads(left.read_text())\n"
    srun += "left.write_text(json.dumps(rest)); sys.exit(now)"
    make_program(tmp_path / "srun", srun)
    venv = make_venv(tmp_path / "venv", "requirements-cuda13.txt")
    env = {"SLURM_SUBMIT_DIR": str(ROOT), "VENV": str(venv), "PAUSE": "0"}
    result = launch("slurm.sbatch", *TRAINING, tools=tmp_path, **env)
    assert result.returncode == status, result.stderr
    assert json.loads(left.read_text()) == []


def test_slurm_job_from_another_folder_is_refused(tmp_path: Path) -> None:
    result = launch("slurm.sbatch", tools=tmp_path, SLURM_SUBMIT_DIR=str(tmp_path))
    assert f"{tmp_path} is not the repository's root" in error_line(result)
