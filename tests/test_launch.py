"""Files in launch/: sound shell, valid manifests, and commands that vft knows."""
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

LAUNCH = Path(__file__).resolve().parent.parent / "launch"
SCRIPTS = ("local.sh", "slurm.sbatch", "tpu_vm.sh")
KUBERNETES = "1.31"


def loaded(name):
  return yaml.safe_load((LAUNCH / name).read_text())


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_sound(name):
  tool = shutil.which("shellcheck")
  assert tool, "apt-get install shellcheck"
  found = subprocess.run([tool, "--shell=bash", LAUNCH / name], capture_output=True, text=True)
  assert found.returncode == 0, found.stdout


def test_the_steps_of_skypilot_are_sound():
  task = loaded("skypilot.yaml")
  for part in ("setup", "run"):
    found = subprocess.run(["bash", "-n", "-c", task[part]], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
  assert task["num_nodes"] == 2 and task["resources"]["use_spot"] and task["file_mounts"]["/runs"]["mode"] == "MOUNT"


def test_the_jobset_restarts_and_its_jobs_are_valid_kubernetes():
  jobset = loaded("gke_jobset.yaml")
  assert jobset["kind"] == "JobSet" and jobset["spec"]["failurePolicy"]["maxRestarts"] > 0
  (workers,) = jobset["spec"]["replicatedJobs"]
  job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": workers["name"]}, **workers["template"]}
  kubernetes_validate.validate(job, KUBERNETES, strict=True)
  (box,) = job["spec"]["template"]["spec"]["containers"]
  env = {e["name"]: e["value"] for e in box["env"]}
  assert env["VFT_PROCESSES"] == str(job["spec"]["completions"]) == str(job["spec"]["parallelism"])
  name = f"{jobset['metadata']['name']}-{workers['name']}-0-0.{jobset['metadata']['name']}"
  assert env["VFT_COORDINATOR"] == f"{name}:{box['ports'][0]['containerPort']}"


def test_a_field_that_kubernetes_does_not_know_is_found():
  job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {"completion": 2}}
  with pytest.raises(kubernetes_validate.ValidationError):
    kubernetes_validate.validate(job, KUBERNETES, strict=True)


def test_the_image_is_built_from_what_the_package_needs():
  lines = (LAUNCH / "Dockerfile").read_text().splitlines()
  copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]}
  assert {"pyproject.toml", "vft", "configs"} <= copied and all((LAUNCH.parent / name).exists() for name in copied)
  assert 'ENTRYPOINT ["vft"]' in lines and "USER vft" in lines


def test_every_file_is_said_to_be_run_or_only_validated():
  said = (LAUNCH / "README.md").read_text()
  for path in LAUNCH.iterdir():
    assert path.name == "README.md" or re.search(rf"`{re.escape(path.name)}`", said), path.name
