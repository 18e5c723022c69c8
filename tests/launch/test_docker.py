"""The Dockerfiles: what they install is there, and Kubernetes takes the image that they make."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted(ROOT.glob("launch/Dockerfile.*"))
BUILD = re.compile(r"docker build --file=(\S+)(?: --build-arg=(\w+)=(\S+))? --tag=(\S+) \.$", re.M)


def instructions(file: Path) -> list[tuple[str, str]]:
    lines = [x for x in file.read_text().splitlines() if x and not x.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_it_installs_what_is_there_on_a_python_that_fits(file: Path) -> None:
    found = instructions(file)
    (image,) = [rest for word, rest in found if word == "FROM"]
    version = re.fullmatch(r"python:([\d.]+)-slim", image)
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert version is not None and version[1] in SpecifierSet(needed)
    names = {name for _, rest in found for name in re.findall(r"requirements[\w-]*\.txt", rest)}
    assert names and all((ROOT / name).is_file() for name in names)
    kept_out = (ROOT / ".dockerignore").read_text().splitlines()
    assert not {"ugatit_jax", "requirements", "README.md", "pyproject.toml"} & {*kept_out}


@pytest.mark.parametrize("file", [*DOCKERFILES, ROOT / "launch" / "kubernetes.yaml"])
def test_the_commands_that_a_file_gives_fit(file: Path) -> None:
    commands = BUILD.findall(file.read_text().replace("#   ", ""))
    assert commands
    for dockerfile, argument, value, _ in commands:
        arguments = {
            rest.split("=")[0] for word, rest in instructions(ROOT / dockerfile) if word == "ARG"
        }
        assert not argument or (argument in arguments and (ROOT / value).is_file())


def test_kubernetes_takes_the_image_that_its_file_builds() -> None:
    file = ROOT / "launch" / "kubernetes.yaml"
    ((_, _, _, tag),) = BUILD.findall(file.read_text().replace("#   ", ""))
    (job,) = yaml.safe_load(file.read_text())["spec"]["replicatedJobs"]
    (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{tag}:latest"
