"""Tests of Dockerfile.serving that need no Docker."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "Dockerfile.serving"


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()
    ]


def test_hadolint():
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed beside this Python")
    done = subprocess.run(
        [hadolint, DOCKERFILE, ROOT / "serving/config/web.Dockerfile"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_extends_the_official_image_and_keeps_its_entry_point(instructions):
    assert ("ARG", "TF_SERVING_VERSION=2.20.0") in instructions
    assert ("FROM", "tensorflow/serving:${TF_SERVING_VERSION}${TF_SERVING_SUFFIX}") in instructions
    assert ("EXPOSE", "8500 8501") in instructions
    assert ("ENV", "MODEL_NAME=pneumonia") in instructions
    assert not {"ENTRYPOINT", "CMD"} & {name for name, _ in instructions}


@pytest.fixture
def is_healthy(instructions, server):
    """Runs the health check's command against the port of a server."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    (check,) = [rest for name, rest in instructions if name == "HEALTHCHECK"]
    command = json.loads(check.partition(" CMD ")[2])
    assert "curl" not in command[2]

    def run(model: str = "pneumonia", port: int | None = None) -> bool:
        port = port or server.ports["rest"]
        script = command[2].replace("/8501", f"/{port}")
        done = subprocess.run(
            [*command[:2], script], check=False, env={"MODEL_NAME": model, "PATH": "/usr/bin:/bin"}
        )
        return done.returncode == 0

    return run


def test_health_check_passes_once_a_version_is_available(is_healthy, server):
    assert is_healthy()
    server.model.state = "LOADING"
    assert not is_healthy()


def test_health_check_fails_without_model_or_server(is_healthy, unused_address):
    assert not is_healthy(model="absent")
    assert not is_healthy(port=int(unused_address.rpartition(":")[2]))


@pytest.mark.parametrize(
    "name", [".git", ".venv", "**/*.jpeg", "**/*.png", "**/*.tfrecord", "**/unfinished-*"]
)
def test_data_of_patients_and_large_files_stay_out_of_the_build_context(name):
    assert name in (ROOT / ".dockerignore").read_text().splitlines()
