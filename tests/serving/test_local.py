"""The command's own: its settings, its ports, and what a user gets wrong."""

import signal
import threading

import pytest

from serving.server.assembly import serving
from serving.server.settings import ServerSettings
from serving.server.stop_signals import stop_signals
from tfrecords_builder.errors import UserError


def test_a_port_in_use_is_the_users_mistake(local_server, models):
    for ports in ({"grpc_port": local_server.grpc}, {"rest_port": local_server.rest}):
        config = ServerSettings(models, **({"grpc_port": 0, "rest_port": 0} | ports))
        with pytest.raises(UserError, match=f"127.0.0.1:{next(iter(ports.values()))}"), serving(config):
            pass


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_without_models_is_the_users_mistake(tmp_path, there):
    folder = tmp_path / "models"
    if there:
        (folder / "pneumonia").mkdir(parents=True)
    with (
        pytest.raises(UserError, match=r"serving\.export"),
        serving(ServerSettings(str(folder), grpc_port=0, rest_port=0)),
    ):
        pass


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({}, "MODELS or --model-config-file"),
        ({"models": "a", "model_config_file": "b"}, "MODELS or --model-config-file"),
        ({"models": "a", "batching_parameters_file": "b"}, "--enable-batching"),
        ({"models": "a", "grpc_port": 1 << 16}, "65535"),
        ({"models": "a", "max_num_load_retries": -1}, "retries"),
        ({"models": "a", "max_concurrent_requests": 0}, "max_concurrent_requests"),
    ],
)
def test_settings_that_cannot_be(settings, word):
    with pytest.raises(ValueError, match=word):
        ServerSettings(**settings)


@pytest.mark.parametrize(
    ("option", "content"),
    [
        ("model_config_file", "model_config_list {"),
        ("batching_parameters_file", "max_batch_size: 3"),
        ("batching_parameters_file", "max_batch_size { value: 8 } allowed_batch_sizes: 4"),
        ("monitoring_config_file", "prometheus { enable: true }"),
        ("ssl_config_file", "client_verify: true"),
    ],
)
def test_a_configuration_file_that_is_none_is_the_users_mistake(models, tmp_path, option, content):
    file = tmp_path / "file.config"
    file.write_text(content)
    settings = {"models": models, "enable_batching": option == "batching_parameters_file"}
    if option == "model_config_file":
        settings["models"] = None
    with (
        pytest.raises(UserError, match=r"file\.config"),
        serving(ServerSettings(**settings, grpc_port=0, rest_port=0, **{option: str(file)})),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_another_thread_receives_is_seen(number):
    ended = threading.Event()
    receiver = threading.Thread(target=ended.wait)
    receiver.start()
    handler = signal.getsignal(number)
    try:
        with stop_signals() as told:
            told.settimeout(10)  # seconds
            threading.Timer(0.1, signal.pthread_kill, (receiver.ident, number)).start()
            assert told.recv(1) == bytes([number])
    finally:
        ended.set()
        receiver.join()
    assert signal.getsignal(number) is handler
