"""A whole server: what it serves, and the mistakes of users that keep it from starting."""

import shutil
import time
from pathlib import Path

import pytest
import tensorflow as tf

from serving.server.assembly import running_server
from serving.server.settings import ServerSettings
from tests.serving.contract.wire import call, predict_request
from tfrecords_builder.errors import UserError


def settings_of(models=None, **settings) -> ServerSettings:
    return ServerSettings(models, **({"grpc_port": 0, "rest_port": 0} | settings))


def test_models_behind_a_url_are_served(models, tmp_path, encoded_images):
    behind_a_url = f"ram://{tmp_path.name}/models"
    for path in Path(models).rglob("*"):
        if path.is_file():
            copy = f"{behind_a_url}/{path.relative_to(models)}".replace("pneumonia/1/", "pneumonia/0002/")
            tf.io.gfile.makedirs(copy.rpartition("/")[0])
            tf.io.gfile.copy(str(path), copy)

    with running_server(settings_of(behind_a_url)) as ports, running_server(settings_of(models)) as others:
        there, here = (call(one.grpc, predict_request(encoded_images)) for one in (ports, others))

    assert (there.model_spec.version.value, here.model_spec.version.value) == (2, 1)
    expected = list(here.outputs["probability"].float_val)
    assert list(there.outputs["probability"].float_val) == pytest.approx(expected, abs=1e-6)


def test_a_port_in_use_is_the_users_mistake(local_server, models):
    for ports in ({"grpc_port": local_server.grpc}, {"rest_port": local_server.rest}):
        ((option, port),) = ports.items()
        expected = rf"127.0.0.1:{port} .* --{option.replace('_', '-')}"
        with pytest.raises(UserError, match=expected), running_server(settings_of(models, **ports)):
            pass


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_the_users_mistake(models, host):
    with pytest.raises(UserError, match=rf"{host}.*--host"), running_server(settings_of(models, host=host)):
        pass


def test_the_folder_of_one_model_is_the_users_mistake(models):
    with (
        pytest.raises(UserError, match="is the folder of one model: give the folder that it is in"),
        running_server(settings_of(f"{models}/pneumonia")),
    ):
        pass


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_a_damaged_version_takes_one_line(tmp_path, caplog, content):
    folder = tmp_path / "models/pneumonia/1"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "saved_model.pb").write_bytes(content)

    with (
        pytest.raises(UserError, match=r"version 1 of model 'pneumonia' in '.*' cannot be loaded: \S+"),
        running_server(settings_of(str(tmp_path / "models"))),
    ):
        pass

    assert caplog.messages == []


def test_a_damaged_version_beside_a_good_one_is_logged(models, tmp_path, caplog):
    shutil.copytree(models, tmp_path / "models")
    (tmp_path / "models/pneumonia/2").mkdir()
    config = (
        f'config {{ name: "pneumonia" base_path: "{tmp_path}/models/pneumonia" model_platform: "tensorflow" '
        "model_version_policy { all {} } }"
    )
    (tmp_path / "models.config").write_text(f"model_config_list {{ {config} }}")

    with running_server(settings_of(model_config_file=str(tmp_path / "models.config"))):
        pass

    assert any("version 2 of model pneumonia cannot be loaded (try 1 of 6)" in one for one in caplog.messages)


def test_a_folder_that_is_not_there_is_logged_once(tmp_path, caplog):
    config = 'config { name: "m" base_path: "/nowhere/m" model_platform: "tensorflow" }'
    (tmp_path / "models.config").write_text(f"model_config_list {{ {config} }}")
    settings = settings_of(
        model_config_file=str(tmp_path / "models.config"), file_system_poll_wait_seconds=0.01
    )

    with running_server(settings):
        time.sleep(0.2)

    assert len([one for one in caplog.messages if "cannot be listed" in one]) == 1


@pytest.mark.parametrize("folders", [[], ["models/pneumonia"], ["models/pneumonia/unfinished-1"]])
def test_a_folder_without_models_is_the_users_mistake(tmp_path, folders):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with (
        pytest.raises(UserError, match=r"serving\.export"),
        running_server(settings_of(str(tmp_path / "models"))),
    ):
        pass


@pytest.mark.parametrize(
    ("option", "content"),
    [
        ("model_config_file", "model_config_list {"),
        ("batching_parameters_file", "max_batch_size: 3"),
        ("batching_parameters_file", "max_batch_size { value: 8 } allowed_batch_sizes: 4"),
        ("monitoring_config_file", "prometheus { enable: true }"),
        ("ssl_config_file", "client_verify: true"),
        ("ssl_config_file", 'server_key: "no PEM" server_cert: "no PEM"'),
        ("model_config_file", b"\xff\xfem\0o\0d\0e\0l\0"),
        ("model_config_file", bytes(range(256))),
        ("model_config_file", None),
        ("ssl_config_file", None),
    ],
)
def test_a_configuration_file_that_is_missing_or_damaged_is_the_users_mistake(
    models, tmp_path, option, content
):
    file = tmp_path / "file.config"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    settings = {option: str(file), "enable_batching": option == "batching_parameters_file"}
    folder = None if option == "model_config_file" else models
    with pytest.raises(UserError, match=r"file\.config"), running_server(settings_of(folder, **settings)):
        pass
