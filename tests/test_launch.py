"""What the launch pages hand out: run where it can be, else checked by its schema."""

import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import children
import jsonschema
import moments
import pytest
import yaml

import jaxtune as jt

ROOT = Path(__file__).parent.parent
LAUNCH = ROOT / "launch"
SMALL = ["--trials", "32", "--epochs", "9"]

# Slurm's part: a step of two tasks on this machine
SRUN = """#!/usr/bin/env bash
[ "$1" = --kill-on-bad-exit=1 ] || exit 9
shift
export SLURM_JOB_ID=$RANDOM SLURM_STEP_NODELIST=localhost SLURM_NTASKS=2
export SLURM_STEP_NUM_TASKS=2
for i in 0 1; do SLURM_PROCID=$i SLURM_LOCALID=$i "$@" & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid" || exit 1; done
"""


def run(*command, **environment):
    found = subprocess.run(
        list(map(str, command)),
        env=children.environment(**children.QUIET, **environment),
        capture_output=True,
        text=True,
        timeout=moments.HANG,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    return found.stdout


def document(name):
    return yaml.safe_load((LAUNCH / name).read_text())


def test_the_script_ends_in_the_same_table_everywhere(tmp_path):
    """On this machine, as the Slurm script starts it, with a srun of ours, as a JobSet
    does, and on Ray."""
    srun = tmp_path / "srun"
    srun.write_text(SRUN)
    srun.chmod(0o755)
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    slurm = {"PATH": path, "SLURM_SUBMIT_DIR": str(ROOT)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    jobset = {"COORDINATOR": f"127.0.0.1:{port}", "PROCESSES": "1"}
    jobset["JOB_COMPLETION_INDEX"] = "0"
    train = (sys.executable, LAUNCH / "train.py")
    ways = {
        "local": ((*train, tmp_path / "local", *SMALL), {}),
        "slurm": (("bash", LAUNCH / "slurm.sh", tmp_path / "slurm", *SMALL), slurm),
        "pod": ((*train, tmp_path / "pod", "--on", "pod", *SMALL), jobset),
        "ray": ((*train, tmp_path / "ray", "--on", "ray", *SMALL), {}),
    }
    # at once: Ray and the pod mostly wait for their processes
    with ThreadPoolExecutor(len(ways)) as pool:
        done = {n: pool.submit(run, *way, **more) for n, (way, more) in ways.items()}
    said = {name: one.result() for name, one in done.items()}
    assert said["slurm"].count("Best(trial=") == 1
    expected, *others = [jt.load(tmp_path / name).trials.scores for name in ways]
    assert all((scores == expected).all() for scores in others)


def test_the_slurm_script_asks_for_what_slurm_knows():
    text = (LAUNCH / "slurm.sh").read_text()
    asked = re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", text, re.MULTILINE)
    assert {"nodes", "ntasks-per-node", "gpus-per-task", "requeue"} <= set(dict(asked))
    assert len(asked) == text.count("#SBATCH")


def test_the_cluster_file_is_one_of_rays():
    from ray.autoscaler._private.util import fillout_defaults, validate_config

    told = document("ray-cluster.yaml")
    filled = fillout_defaults(told)
    validate_config(filled)
    assert filled["provider"]["worker_ips"] == ["10.0.0.2", "10.0.0.3"]
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**filled, "min_worker": 2})
    starts = told["head_start_ray_commands"] + told["worker_start_ray_commands"]
    assert all("AUTH_MODE=token" in c for c in starts if "ray start" in c)


def check_pod(template):
    """A pod template, by the schema of Kubernetes itself."""
    import kubernetes_validate

    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **template}
    kubernetes_validate.validate(pod, "1.31", strict=True)


def test_the_jobset_is_one():
    from kubeflow_trainer_api.models.jobset_v1alpha2_job_set import (
        JobsetV1alpha2JobSet,
    )

    told = document("jobset.yaml")
    read = JobsetV1alpha2JobSet.from_dict(told)
    assert read.to_dict() == told  # a field that it does not know would be gone
    (job,) = told["spec"]["replicatedJobs"]
    own = job["template"]["spec"]
    check_pod(own["template"])
    (container,) = own["template"]["spec"]["containers"]
    settings = {each["name"]: each["value"] for each in container["env"]}
    assert int(settings["PROCESSES"]) == own["completions"] == own["parallelism"]
    first = f"{told['metadata']['name']}-{job['name']}-0-0.{told['metadata']['name']}"
    assert settings["COORDINATOR"].split(":")[0] == first


# the fields that we use of KubeRay's own schema, which no package brings
GROUP = {
    "type": "object",
    "required": ["rayStartParams", "template"],
    "additionalProperties": False,
    "properties": {
        "groupName": {"type": "string"},
        "replicas": {"type": "integer"},
        "minReplicas": {"type": "integer"},
        "maxReplicas": {"type": "integer"},
        "rayStartParams": {
            "type": "object",
            "additionalProperties": {"type": "string"},
        },
        "template": {"type": "object"},
    },
}
RAYJOB = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "entrypoint": {"type": "string"},
                "backoffLimit": {"type": "integer"},
                "shutdownAfterJobFinishes": {"type": "boolean"},
                "ttlSecondsAfterFinished": {"type": "integer"},
                "rayClusterSpec": {
                    "type": "object",
                    "required": ["headGroupSpec"],
                    "additionalProperties": False,
                    "properties": {
                        "rayVersion": {"type": "string"},
                        "authOptions": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {"mode": {"enum": ["token", "disabled"]}},
                        },
                        "headGroupSpec": GROUP,
                        "workerGroupSpecs": {"type": "array", "items": GROUP},
                    },
                },
            },
        },
    },
}


def test_the_rayjob_is_one():
    told = document("rayjob.yaml")
    jsonschema.validate(told, RAYJOB)
    cluster = told["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        check_pod(group["template"])
    assert cluster["authOptions"] == {"mode": "token"}


def test_the_image_copies_what_there_is_and_runs_as_nobody_special():
    lines = (LAUNCH / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
    assert copied
    assert all((ROOT / name).exists() for names in copied for name in names)
    users = [line for line in lines if line.startswith("USER")]
    assert users == ["USER ray"]
    assert lines.index(users[0]) > max(
        i for i, line in enumerate(lines) if line.startswith("RUN")
    )
