"""Reloads, starts and stops, with versions that load without TensorFlow."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tensorflow_serving.config import model_server_config_pb2

from serving.server import models as models_module
from serving.server.models import LoadingOptions, Models
from serving.server.status import StatusError
from serving.server.version_keeper import Retries, State
from tfrecords_builder.errors import UserError

SECONDS = 30


class FakeServable:
    """Loads slowly from a folder, and not at all if it holds a file `damaged`."""

    loaded: list["FakeServable"] = []  # noqa: RUF012 - a new class is made for each test

    def __init__(self, name, version, folder, batching) -> None:
        time.sleep(0.05)
        with open(f"{folder}/saved_model.pb") as file:  # noqa: PTH123 - a string
            if file.read() == "damaged":
                raise ValueError("damaged")
        self.is_closed = False
        self.loaded.append(self)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def servables(monkeypatch) -> list[FakeServable]:
    """The versions that were loaded, in their order."""
    fake = type("Servable", (FakeServable,), {"loaded": []})
    monkeypatch.setattr(models_module, "Servable", fake)
    return fake.loaded


@pytest.fixture
def publish(tmp_path):
    """Makes a version of a model."""

    def publish(model: str, number: int = 1, content: str = "whole") -> None:
        folder = tmp_path / model / str(number)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text(content)

    return publish


@pytest.fixture
def config(tmp_path):
    def config(*models: str):
        message = model_server_config_pb2.ModelServerConfig()
        message.model_config_list.SetInParent()
        for name in models:
            message.model_config_list.config.add(
                name=name, base_path=str(tmp_path / name), model_platform="tensorflow"
            )
        return message

    return config


@pytest.fixture
def start(servables):
    started = []

    def start(config, **options) -> Models:
        models = Models(
            config, LoadingOptions(**{"poll_seconds": 3600.0, "retries": Retries(0, 0.0)} | options)
        )
        started.append(models)
        return models

    yield start
    for models in started:
        models.stop()


def until(condition) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_reload_returns_when_its_new_models_are_available(start, config, publish):
    publish("a")
    publish("b")
    models = start(config("a"))

    models.reload(config("a", "b"))

    assert models.available() == {"a": {1}, "b": {1}}


def test_a_model_that_a_reload_brings_back_is_waited_for(start, config, publish):
    publish("a")
    publish("b")
    models = start(config("a", "b"))
    models.reload(config("a"))
    until(lambda: models.versions("b")[0].state is State.END)

    models.reload(config("a", "b"))

    assert models.available() == {"a": {1}, "b": {1}}


def test_a_model_that_comes_back_while_a_request_holds_its_version_is_waited_for(start, config, publish):
    publish("a")
    publish("b")
    models = start(config("a", "b"))
    with ThreadPoolExecutor(1) as clients:
        with models.lend("b"):
            models.reload(config("a"))
            until(lambda: models.versions("b")[0].state is State.UNLOADING)
            reload = clients.submit(models.reload, config("a", "b"))
            time.sleep(0.2)
            assert not reload.done()
        reload.result(timeout=SECONDS)

    assert models.available() == {"a": {1}, "b": {1}}


def test_a_new_model_that_cannot_be_loaded_fails_the_reload(start, config, publish):
    publish("a")
    publish("b", content="damaged")
    models = start(config("a"))

    with pytest.raises(StatusError) as raised:
        models.reload(config("a", "b"))

    assert raised.value.code.name == "UNKNOWN"
    assert raised.value.message == (
        "1 model(s) did not become available: {{{name: b version: 1} due to error: damaged}, }"
    )
    assert models.available() == {"a": {1}, "b": set()}


def test_a_server_that_stops_ends_a_reload_that_waits(start, config, publish, tmp_path):
    publish("a")
    (tmp_path / "without versions").mkdir()
    models = start(config("a"))

    with ThreadPoolExecutor(1) as clients:
        reload = clients.submit(models.reload, config("a", "without versions"))
        time.sleep(0.2)
        assert not reload.done()
        models.stop()
        with pytest.raises(StatusError) as raised:
            reload.result(timeout=SECONDS)
    assert (raised.value.code.name, raised.value.message) == ("UNAVAILABLE", "the server is stopping")


def test_a_reload_after_the_stop_does_not_wait(start, config, publish):
    publish("a")
    publish("b")
    models = start(config("a"))
    models.stop()

    with pytest.raises(StatusError, match="the server is stopping"):
        models.reload(config("a", "b"))


def test_what_was_loaded_is_freed_if_the_start_fails(config, publish, servables):
    publish("a")
    publish("b", content="damaged")

    with pytest.raises(UserError, match=r"version 1 of model 'b' .* cannot be loaded: damaged"):
        Models(config("a", "b"), LoadingOptions())

    assert [servable.is_closed for servable in servables] == [True]


def test_a_stop_frees_everything(config, publish, servables):
    publish("a")
    publish("b")
    models = Models(config("a", "b"), LoadingOptions())
    models.stop()

    assert [servable.is_closed for servable in servables] == [True, True]


def test_models_are_listed_while_reloads_add_others(start, config, publish):
    names = [f"model {number}" for number in range(30)]
    for name in names:
        publish(name)
    models = start(config(names[0]))
    ended = threading.Event()
    listed = []

    def list_models() -> None:
        while not ended.is_set():
            listed.append(len(models.available()))

    with ThreadPoolExecutor(4) as clients:
        listing = [clients.submit(list_models) for _ in range(4)]
        models.reload(config(*names))
        ended.set()
        for one in listing:
            one.result()
    assert set(listed) <= {1, 30}
    assert len(models.available()) == 30
