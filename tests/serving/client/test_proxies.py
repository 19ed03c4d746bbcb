"""Proxies in the environment: none to this machine, and to other machines they are named when they fail."""

import subprocess
import sys

import pytest

from serving.client import Client, Limits, ServerUnreachable
from serving.client.proxies import Proxy, grpc_proxy, is_this_machine, rest_proxy
from tfrecords_builder.errors import UserError

from .conftest import encoded_image

ONE_ATTEMPT = Limits(retries=0, deadline=10)
DEAD = "http://user:secret@127.0.0.1:9"  # nothing listens at the port of the discard protocol
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy", "no_grpc_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("host", "proxy"),
    [
        ("127.0.0.1", DEAD),
        ("localhost", DEAD),
        ("127.0.0.1", "socks5://127.0.0.1:9"),
        ("127.0.0.1", "no URL"),
    ],
)
def test_no_proxy_is_used_to_call_this_machine(server, transport, monkeypatch, host, proxy):
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)

    with Client(f"{host}:{server.ports[transport]}", transport, limits=ONE_ATTEMPT) as client:
        assert client.predict([encoded_image(1)])[0].valid


@pytest.mark.parametrize(
    ("transport", "variable"),
    [
        ("grpc", "grpc_proxy"),
        ("grpc", "http_proxy"),
        ("grpc", "https_proxy"),
        ("rest", "http_proxy"),
        ("rest", "all_proxy"),
    ],
)
def test_a_proxy_is_named_when_the_connection_fails(transport, variable, images, monkeypatch):
    monkeypatch.setenv(variable, DEAD)
    called = "xrays.example:8500 (called through the proxy http://127.0.0.1:9"
    with (
        Client("xrays.example:8500", transport, limits=ONE_ATTEMPT) as client,
        pytest.raises(ServerUnreachable, match=variable) as raised,
    ):
        client.predict(images)
    assert str(raised.value).startswith(f"no server at {called} of {variable}; add xrays.example to no_proxy")
    assert "secret" not in str(raised.value)


@pytest.mark.slow
def test_the_command_takes_one_line_for_a_proxy_that_fails(images, tmp_path):
    (tmp_path / "xray.png").write_bytes(images[0])
    # gRPC writes to stderr itself, so that only a call over gRPC shows that it is kept to one line.
    options = ["--transport", "grpc", "--address", "xrays.example:8500"]
    done = subprocess.run(
        [sys.executable, "-m", "serving.client", str(tmp_path / "xray.png"), *options],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "", "http_proxy": DEAD},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "called through the proxy http://127.0.0.1:9 of http_proxy" in done.stderr


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "ftp://127.0.0.1:9", "http://[::1"])
def test_a_proxy_that_cannot_be_used_over_rest(monkeypatch, proxy):
    monkeypatch.setenv("all_proxy", proxy)

    with pytest.raises(UserError, match="of all_proxy cannot be used"):
        Client("xrays.example:8501", "rest")


@pytest.mark.parametrize(
    "excepted",
    ["xrays.example", ".example", "*.example", "other, XRAYS.example ", "xrays.example:8500", "*"],
)
def test_hosts_in_no_proxy_are_called_directly(monkeypatch, excepted):
    monkeypatch.setenv("http_proxy", DEAD)
    monkeypatch.setenv("no_proxy", excepted)

    assert rest_proxy("http", "xrays.example", 8500) is None
    assert grpc_proxy("xrays.example", 8500) is None


@pytest.mark.parametrize(
    "excepted", ["", ",", "rays.example", "xrays.example:1", "10.0.0.0/8", "example.org"]
)
def test_hosts_that_are_not_in_no_proxy(monkeypatch, excepted):
    monkeypatch.setenv("http_proxy", DEAD)
    monkeypatch.setenv("no_proxy", excepted)

    assert rest_proxy("http", "xrays.example", 8500) == Proxy(DEAD, "http_proxy")
    assert grpc_proxy("xrays.example", 8500) == Proxy(DEAD, "http_proxy")


def test_networks_in_no_proxy(monkeypatch):
    monkeypatch.setenv("http_proxy", DEAD)
    monkeypatch.setenv("no_proxy", "10.0.0.0/8,no/network")

    assert rest_proxy("http", "10.1.2.3", 80) is None
    assert rest_proxy("http", "11.1.2.3", 80) is not None


def test_each_scheme_has_its_variable(monkeypatch):
    monkeypatch.setenv("https_proxy", "proxy.example:3128")

    assert rest_proxy("http", "xrays.example", 80) is None
    assert (
        str(rest_proxy("https", "xrays.example", 443)) == "the proxy http://proxy.example:3128 of https_proxy"
    )


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("0.0.0.0", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.example", False),
        ("xrays.example", False),
        ("", False),
    ],
)
def test_this_machine(host, expected):
    assert is_this_machine(host) == expected
