"""`python -m serving.web` as a process."""

import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from serving.web.settings import WebSettings


@pytest.fixture
def process(local_server):
    command = [sys.executable, "-m", "serving.web", "--transport", "rest", "--port", "0"]
    started = subprocess.Popen(
        [*command, "--address", f"127.0.0.1:{local_server.rest}"], stdout=subprocess.PIPE, text=True
    )
    yield started
    started.kill()
    started.wait()
    started.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_when_it_is_told_to(process, number):
    ready = re.fullmatch(r"ready: (http://127\.0\.0\.1:\d+/)\n", process.stdout.readline())
    page = httpx.get(ready[1])
    process.send_signal(number)

    assert "not a medical device" in page.text
    assert process.wait(timeout=20) == 0


def test_a_port_in_use_takes_one_line(command):
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        code, printed, errors = command("serving.web", "--transport", "rest", "--port", port)

    assert (code, printed, len(errors)) == (2, "", 1)
    assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in errors[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"short", "at least 16 ASCII characters"),
        (b"with a space in it 123", "without spaces"),
        (b"\xff" * 20, "it is no text"),
        (None, "No such file"),
    ],
)
def test_a_token_that_cannot_be_used_takes_one_line(command, tmp_path, content, reason):
    if content is not None:
        (tmp_path / "token").write_bytes(content)

    code, _, errors = command("serving.web", "--transport", "rest", "--token-file", "token")

    assert (code, len(errors)) == (2, 1)
    assert reason in errors[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70_000},
        {"max_files": 0},
        {"max_megabytes": 0},
        {"max_requests": 0},
        {"max_seconds": 0.0},
        {"retries": -1},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        WebSettings(**wrong)


def test_only_this_machine_can_connect_unless_told_otherwise():
    assert WebSettings().is_local
    assert WebSettings(host="::1").is_local
    assert WebSettings(host="localhost").is_local
    assert not WebSettings(host="0.0.0.0").is_local
