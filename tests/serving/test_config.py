"""The files of serving/config: read by the server's own parsers, checked against published schemas."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import tyro
import yaml

from serving.client import Client
from serving.client.__main__ import ClientConfig
from serving.exporting.warm_up import WARMUP_BATCH_SIZES
from serving.server.assembly import running_server
from serving.server.batching import Batching
from serving.server.config_files import read_model_config, read_monitoring_config
from serving.server.metrics import DEFAULT_PATH
from serving.server.settings import ServerSettings
from serving.web.settings import WebSettings

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
    models = read_model_config(str(tmp_path / "models.config"))
    assert models == read_model_config(str(CONFIG / "models.config"))


def pods(*files: str) -> dict[str, dict]:
    """The pods of the files by the names of what makes them."""
    found = {}
    for file in files:
        for document in yaml.safe_load_all((CONFIG / file).read_text()):
            if document["kind"] in ("Deployment", "Job"):
                found[document["metadata"]["name"]] = document["spec"]["template"]
    return found


@pytest.mark.parametrize("name", ["pneumonia", "pneumonia-web", "pneumonia-verify"])
def test_pods_may_do_no_more_than_they_need(name):
    pod = pods("kubernetes.yaml", "kubernetes-web.yaml")[name]["spec"]
    (container,) = pod["containers"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]


def test_only_clients_reach_the_server(kubernetes):
    policy = kubernetes["NetworkPolicy"]["spec"]
    (label,) = policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"].items()
    labels = {name: pod["metadata"]["labels"] for name, pod in pods("kubernetes-web.yaml").items()}

    assert policy["podSelector"] == kubernetes["Deployment"]["spec"]["selector"]
    assert all(label in found.items() for found in labels.values())
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy


def test_the_images_have_one_name_each_throughout():
    images = {
        name: pod["spec"]["containers"][0]["image"]
        for name, pod in pods("kubernetes.yaml", "kubernetes-web.yaml").items()
    }
    search = yaml.safe_load_all((CONFIG.parents[1] / "tuning/config/kubernetes-job.yaml").read_text())
    of_search = [
        d["spec"]["template"]["spec"]["containers"][0]["image"] for d in search if d["kind"] == "Job"
    ]

    assert images["pneumonia"] == "REGISTRY/pneumonia:1"
    assert {images["pneumonia-web"], images["pneumonia-verify"], *of_search} == {
        "REGISTRY/chest-xray-pipeline:1"
    }


@pytest.mark.parametrize("file", ["compose.yaml", "kubernetes-web.yaml"])
def test_the_commands_of_the_containers_are_understood(file):
    """Their options exist; nothing is started."""
    if file == "compose.yaml":
        services = yaml.safe_load((CONFIG / file).read_text())["services"]
        commands = [services[name]["command"] for name in ("web", "verify")]
    else:
        commands = [pod["spec"]["containers"][0]["args"] for pod in pods(file).values()]
    settings = {"serving.web": WebSettings, "serving.client": ClientConfig}

    for module, *options in commands:
        parsed = tyro.cli(settings[module], args=[str(option) for option in options])
        assert parsed.address.endswith(":8500")


def test_alerts_are_about_metrics_that_the_server_has(metrics_text):
    (group,) = yaml.safe_load((CONFIG / "prometheus-alerts.yaml").read_text())["groups"]

    assert len(group["rules"]) == 4
    for rule in group["rules"]:
        for metric in re.findall(r":tensorflow:\w+:\w+", rule["expr"]):
            assert metric in metrics_text, rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")


@pytest.fixture
def metrics_text(models, encoded_images) -> str:
    """What Prometheus reads from a server that has answered."""
    settings = ServerSettings(
        models, grpc_port=0, rest_port=0, monitoring_config_file=str(CONFIG / "monitoring.config")
    )
    with running_server(settings) as ports:
        with Client(f"127.0.0.1:{ports.rest}", "rest") as client:
            client.predict(encoded_images[:1])
        return httpx.get(f"http://127.0.0.1:{ports.rest}{DEFAULT_PATH}").text


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
        ["kubernetes-validate", "--strict", "kubernetes.yaml", "kubernetes-web.yaml"],
    ],
    ids=lambda command: command[0],
)
def test_files_fit_their_schemas(command):
    tool = Path(sys.executable).with_name(command[0])
    if not tool.exists():
        pytest.skip(f"{command[0]} is not installed beside this Python")
    done = subprocess.run([tool, *command[1:]], check=False, capture_output=True, text=True, cwd=CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
