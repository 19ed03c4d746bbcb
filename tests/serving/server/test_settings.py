import dataclasses

import pytest

from serving.server.settings import ServerSettings


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({}, "MODELS or --model-config-file.* none"),
        ({"models": "a", "model_config_file": "b"}, "MODELS or --model-config-file.* both"),
        ({"models": "a", "batching_parameters_file": "b"}, "--enable-batching"),
        ({"models": "a", "grpc_port": 1 << 16}, "0 to 65535"),
        ({"models": "a", "rest_port": -1}, "0 to 65535"),
        ({"models": "a", "max_num_load_retries": -1}, "max_num_load_retries must be at least 0"),
        ({"models": "a", "load_retry_interval_micros": -1}, "load_retry_interval_micros must be at least 0"),
        ({"models": "a", "model_config_file_poll_wait_seconds": -1}, "poll_wait_seconds must be at least 0"),
        ({"models": "a", "file_system_poll_wait_seconds": 0}, "poll_wait_seconds must be above 0"),
        ({"models": "a", "max_concurrent_requests": 0}, "max_concurrent_requests must be at least 1"),
        ({"models": "a", "rest_api_timeout_in_ms": 0}, "rest_api_timeout_in_ms must be at least 1"),
    ],
)
def test_settings_that_are_refused(settings, word):
    with pytest.raises(ValueError, match=word):
        ServerSettings(**settings)


def test_the_defaults_are_those_of_tensorflow_serving_except_for_the_host():
    settings = dataclasses.asdict(ServerSettings("models"))

    assert (settings["grpc_port"], settings["rest_port"], settings["host"]) == (8500, 8501, "127.0.0.1")
    assert settings["rest_api_timeout_in_ms"] == 30_000
    assert (settings["max_num_load_retries"], settings["load_retry_interval_micros"]) == (5, 60_000_000)
