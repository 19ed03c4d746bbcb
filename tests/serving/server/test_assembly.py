"""A whole server: what it serves, and the mistakes of users that keep it from starting."""

from pathlib import Path

import pytest
import tensorflow as tf

from serving.server.assembly import serving
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

    with serving(settings_of(behind_a_url)) as ports, serving(settings_of(models)) as others:
        there, here = (call(one.grpc, predict_request(encoded_images)) for one in (ports, others))

    assert (there.model_spec.version.value, here.model_spec.version.value) == (2, 1)
    expected = list(here.outputs["probability"].float_val)
    assert list(there.outputs["probability"].float_val) == pytest.approx(expected, abs=1e-6)


def test_a_port_in_use_is_the_users_mistake(local_server, models):
    for ports in ({"grpc_port": local_server.grpc}, {"rest_port": local_server.rest}):
        ((option, port),) = ports.items()
        expected = rf"127.0.0.1:{port} .* --{option.replace('_', '-')}"
        with pytest.raises(UserError, match=expected), serving(settings_of(models, **ports)):
            pass


@pytest.mark.parametrize("folders", [[], ["models/pneumonia"], ["models/pneumonia/unfinished-1"]])
def test_a_folder_without_models_is_the_users_mistake(tmp_path, folders):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with (
        pytest.raises(UserError, match=r"serving\.export"),
        serving(settings_of(str(tmp_path / "models"))),
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
        ("model_config_file", None),
        ("ssl_config_file", None),
    ],
)
def test_a_configuration_file_that_is_missing_or_damaged_is_the_users_mistake(
    models, tmp_path, option, content
):
    file = tmp_path / "file.config"
    if content is not None:
        file.write_text(content)
    settings = {option: str(file), "enable_batching": option == "batching_parameters_file"}
    folder = None if option == "model_config_file" else models
    with pytest.raises(UserError, match=r"file\.config"), serving(settings_of(folder, **settings)):
        pass
