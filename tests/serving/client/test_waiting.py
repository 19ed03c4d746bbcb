import pytest

from serving.client import waiting
from serving.client.errors import RequestRefused, ServerUnreachable, WrongProtocol
from serving.client.waiting import wait_for_server
from tests.serving.client.conftest import Server


class Starting:
    """Cannot be reached a few times, then answers."""

    def __init__(self, failures: list[Exception]) -> None:
        self.failures = failures

    def __call__(self) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(waiting, "_SECONDS_BETWEEN_TRIES", 0.01)


def test_it_asks_until_there_is_an_answer():
    assert wait_for_server(Starting([ServerUnreachable("a"), ServerUnreachable("b")]), 20) == "answer"


def test_without_time_the_first_failure_counts():
    with pytest.raises(ServerUnreachable, match="a"):
        wait_for_server(Starting([ServerUnreachable("a"), ServerUnreachable("b")]), 0)


@pytest.mark.parametrize("error", [WrongProtocol, RequestRefused])
def test_what_waiting_cannot_mend_is_raised_at_once(error):
    asked = Starting([error("a"), error("b")])

    with pytest.raises(error, match="a"):
        wait_for_server(asked, 20)


def test_the_command_waits_for_a_server_that_is_still_starting(command, unused_address, images, tmp_path):
    (tmp_path / "a.png").write_bytes(images[0])
    port = int(unused_address.rpartition(":")[2])
    ask = ("serving.client", "a.png", "--transport", "rest", "--address", unused_address)

    refused = command(*ask)
    server = Server({"grpc": 0, "rest": port})
    answered = command(*ask, "--wait", 20)
    server.stop()

    assert (refused[0], answered[0]) == (2, 0)
    assert "a.png" in answered[1]
