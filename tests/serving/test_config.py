"""The files of serving/config: read by the server's own parsers, checked against published schemas."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from serving.exporting.warm_up import WARMUP_BATCH_SIZES
from serving.server.batching import Batching
from serving.server.config_files import read_model_config, read_monitoring_config
from serving.server.metrics import DEFAULT_PATH

CONFIG = Path(__file__).parents[2] / "serving/config"


@pytest.fixture(scope="module")
def kubernetes() -> dict[str, dict]:
    documents = yaml.safe_load_all((CONFIG / "kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


def test_models_config_serves_the_exported_model_with_labels():
    (model,) = read_model_config(str(CONFIG / "models.config")).model_config_list.config

    assert (model.name, model.base_path, model.model_platform) == (
        "pneumonia",
        "/models/pneumonia",
        "tensorflow",
    )
    assert set(model.version_labels) == {"stable", "canary"}
    assert model.model_version_policy.latest.num_versions == 2


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_batches_take_every_warm_up_request(kind):
    batching = Batching.read(str(CONFIG / f"batching-{kind}.config"))

    assert max(WARMUP_BATCH_SIZES) <= batching.max_batch_size
    assert batching.allowed_batch_sizes in ((), WARMUP_BATCH_SIZES)


def test_monitoring_is_at_the_usual_path():
    prometheus = read_monitoring_config(str(CONFIG / "monitoring.config")).prometheus_config

    assert (prometheus.enable, prometheus.path) == (True, DEFAULT_PATH)


def test_the_configuration_in_kubernetes_yaml_is_that_of_the_files(kubernetes, tmp_path):
    data = kubernetes["ConfigMap"]["data"]
    for name, content in data.items():
        (tmp_path / name).write_text(content)

    assert Batching.read(str(tmp_path / "batching.config")) == Batching.read(
        str(CONFIG / "batching-cpu.config")
    )
    monitoring = read_monitoring_config(str(tmp_path / "monitoring.config"))
    assert monitoring == read_monitoring_config(str(CONFIG / "monitoring.config"))


def test_kubernetes_probes_resources_and_scaling(kubernetes):
    (container,) = kubernetes["Deployment"]["spec"]["template"]["spec"]["containers"]

    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/pneumonia"
    assert {"livenessProbe", "startupProbe", "resources"} <= set(container)
    target = kubernetes["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
    assert target == kubernetes["Deployment"]["metadata"]["name"]


@pytest.mark.parametrize(
    "command",
    [
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
        ["kubernetes-validate", "--strict", "kubernetes.yaml"],
    ],
    ids=lambda command: command[0],
)
def test_files_fit_their_schemas(command):
    tool = Path(sys.executable).with_name(command[0])
    if not tool.exists():
        pytest.skip(f"{command[0]} is not installed beside this Python")
    done = subprocess.run([tool, *command[1:]], check=False, capture_output=True, text=True, cwd=CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
