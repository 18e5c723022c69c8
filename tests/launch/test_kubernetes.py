"""launch/kubernetes.yaml: Kubernetes' own schemas, JobSet's fields, and numbers that must agree."""

import copy
import math
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from ugatit_jax.console.errors import InputError, TransientError
from ugatit_jax.main import DIVERGED

MANIFEST = Path(__file__).parents[2] / "launch" / "kubernetes.yaml"
KUBERNETES = "1.34"


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """The schema of an object with these fields and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
NAME = {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"}
# Of https://jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2 the fields that we use.
JOBSET = closed(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "jobset.x-k8s.io/v1alpha2"},
    kind={"const": "JobSet"},
    metadata=closed(["name"], name=NAME, annotations={"additionalProperties": TEXT}),
    spec=closed(
        ["replicatedJobs"],
        network=closed([], enableDNSHostnames=FLAG, subdomain=NAME),
        coordinator=closed(["replicatedJob"], replicatedJob=TEXT, jobIndex=COUNT, podIndex=COUNT),
        failurePolicy=closed(
            [],
            maxRestarts=COUNT,
            rules={
                "type": "array",
                "items": closed(
                    ["name", "action"],
                    name={"type": "string", "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
                    action={"enum": ["FailJobSet", "RestartJobSet"]},
                    onJobFailureReasons={
                        "type": "array",
                        "items": {"enum": ["BackoffLimitExceeded", "PodFailurePolicy"]},
                    },
                ),
            },
        ),
        replicatedJobs={
            "type": "array",
            "minItems": 1,
            "items": closed(["name", "template"], name=NAME, replicas=COUNT, template={}),
        },
    ),
)


@pytest.fixture
def manifest() -> dict[str, Any]:
    return yaml.safe_load(MANIFEST.read_text())


def validate(manifest: dict[str, Any]) -> None:
    jsonschema.validate(manifest, JOBSET)
    for job in manifest["spec"]["replicatedJobs"]:
        whole = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job["name"]}}
        kubernetes_validate.validate(whole | job["template"], KUBERNETES, strict=True)


def job_of(manifest: dict[str, Any]) -> dict[str, Any]:
    [job] = manifest["spec"]["replicatedJobs"]
    return job["template"]["spec"]


def test_manifest_is_valid(manifest: dict[str, Any]) -> None:
    validate(manifest)


def test_a_misplaced_field_would_be_found(manifest: dict[str, Any]) -> None:
    misspelt = copy.deepcopy(manifest)
    misspelt["spec"]["failurePolicy"]["maxRestart"] = 3
    with pytest.raises(jsonschema.ValidationError, match="maxRestart"):
        validate(misspelt)
    misplaced = copy.deepcopy(manifest)
    job_of(misplaced)["terminationGracePeriodSeconds"] = 60
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriodSeconds"):
        validate(misplaced)


def test_hosts_chips_and_processes_agree(manifest: dict[str, Any]) -> None:
    job = job_of(manifest)
    pod = job["template"]["spec"]
    [container] = pod["containers"]
    chips = container["resources"]["limits"]["google.com/tpu"]
    assert container["resources"]["requests"]["google.com/tpu"] == chips
    topology = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    hosts = job["parallelism"]
    assert job["completions"] == hosts
    assert f"--num-processes={hosts}" in container["args"]
    assert math.prod(map(int, topology.split("x"))) == hosts * chips


def test_any_lost_pod_restarts_the_set_and_a_mistake_ends_it(manifest: dict[str, Any]) -> None:
    job = job_of(manifest)
    pod = job["template"]["spec"]
    [container] = pod["containers"]
    assert job["completionMode"] == "Indexed"  # gives the pods JOB_COMPLETION_INDEX
    assert job["backoffLimit"] == 0 and pod["restartPolicy"] == "Never"
    assert manifest["spec"]["failurePolicy"]["maxRestarts"] > 0
    [rule] = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    # Not that of a TransientError, nor of a traceback.
    assert rule["onExitCodes"]["values"] == [InputError.exit_status, DIVERGED]
    assert not {TransientError.exit_status, 1} & {*rule["onExitCodes"]["values"]}
    replicated = [job["name"] for job in manifest["spec"]["replicatedJobs"]]
    assert manifest["spec"]["coordinator"]["replicatedJob"] in replicated


def test_the_variables_of_the_arguments_are_set(manifest: dict[str, Any]) -> None:
    [container] = job_of(manifest)["template"]["spec"]["containers"]
    text = " ".join(container["args"])
    given = {variable["name"] for variable in container["env"]} | {"JOB_COMPLETION_INDEX"}
    assert {part.split(")")[0] for part in text.split("$(")[1:]} == given
