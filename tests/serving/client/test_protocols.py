"""Calls to an address where something else is spoken: the error says what, and is not tried again."""

import contextlib
import http.server
import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving.client import Client, Limits, ServerFailed, ServerUnreachable, ServingError, Tls, WrongProtocol
from tests.serving.authority import Authority
from tfrecords_builder.errors import UserError

from .conftest import Model, PredictionService

ONE_ATTEMPT = Limits(retries=0, deadline=10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Folder of the authority's certificate, and of a server's key and certificate."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority("authority")
    server = Authority("localhost", authority)
    (folder / "ca.pem").write_bytes(authority.certificate)
    (folder / "certificate.pem").write_bytes(server.certificate)
    (folder / "key.pem").write_bytes(server.key)
    return folder


@pytest.fixture(scope="module")
def trusting(folder) -> Tls:
    """Encryption that trusts the servers with TLS below."""
    return Tls(ca=str(folder / "ca.pem"))


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """Ignores clients that speak something else."""


@contextlib.contextmanager
def http_server(context: ssl.SSLContext | None = None):
    """A server of files, which knows nothing of TensorFlow Serving."""
    running = QuietServer(("127.0.0.1", 0), QuietHandler)
    if context is not None:
        running.socket = context.wrap_socket(running.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield f"127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


@contextlib.contextmanager
def grpc_server(folder: Path, *, asks_for_certificates: bool = False):
    running = grpc.server(ThreadPoolExecutor(4))
    service = PredictionService(Model())
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, running)
    key, certificate, ca = ((folder / f"{name}.pem").read_bytes() for name in ("key", "certificate", "ca"))
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], ca, require_client_auth=asks_for_certificates
    )
    port = running.add_secure_port("127.0.0.1:0", credentials)
    running.start()
    yield f"127.0.0.1:{port}"
    running.stop(None).wait()


def server_context(folder: Path, verify: ssl.VerifyMode = ssl.CERT_NONE) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = verify
    return context


def error_of(address, transport, images, tls=None) -> Exception:
    with (
        Client(address, transport, tls=tls, limits=ONE_ATTEMPT) as client,
        pytest.raises((ServerUnreachable, ServerFailed)) as raised,
    ):
        client.predict(images)
    assert "\n" not in str(raised.value)
    return raised.value


OTHER_API = {
    "grpc": "speaks HTTP/1.1 (REST), not gRPC: choose --transport rest, or the port of the other API",
    "rest": "speaks gRPC, not REST: choose --transport grpc, or the port of the other API",
}
USUAL_PORTS = "(usually 8500 for gRPC and 8501 for REST)"


def test_the_port_of_the_other_api(server, transport, images):
    address = server.address({"grpc": "rest", "rest": "grpc"}[transport])

    error = error_of(address, transport, images)

    assert isinstance(error, WrongProtocol)
    assert str(error) == f"the server at {address} {OTHER_API[transport]} {USUAL_PORTS}"
    assert server.model.requests == []


def test_the_port_of_the_other_api_of_the_local_server(local_server, transport, images):
    address = f"127.0.0.1:{getattr(local_server, {'grpc': 'rest', 'rest': 'grpc'}[transport])}"

    assert OTHER_API[transport] in str(error_of(address, transport, images))


def test_no_tls_where_it_is_expected(folder, images):
    with grpc_server(folder) as address:
        assert str(error_of(address, "grpc", images)) == f"the server at {address} expects TLS: add --tls"
        error = error_of(address, "rest", images)
        assert "speaks gRPC, not REST, and expects TLS: choose --transport grpc" in str(error)
        assert str(error).endswith("; add --tls")
    with http_server(server_context(folder)) as address:
        assert str(error_of(address, "rest", images)) == f"the server at {address} expects TLS: add --tls"
        assert "speaks HTTP/1.1 (REST), not gRPC, and expects TLS" in str(error_of(address, "grpc", images))


def test_tls_where_none_is_used(server, transport, trusting, images):
    error = error_of(server.address(transport), transport, images, trusting)
    assert "does not use TLS: leave out https:// and the --tls options" in str(error)

    other = {"grpc": "rest", "rest": "grpc"}[transport]
    error = error_of(server.address(other), transport, images, trusting)
    assert ", and does not use TLS: choose --transport" in str(error)
    assert isinstance(error, WrongProtocol)


def test_a_url_with_https_where_no_tls_is_used(server, images):
    error = error_of(f"https://{server.address('rest')}", "rest", images)
    assert "does not use TLS: leave out https://" in str(error)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_certificate_that_is_not_trusted(folder, transport, images):
    running = grpc_server(folder) if transport == "grpc" else http_server(server_context(folder))
    with running as address:
        error = error_of(address, transport, images, Tls())

    assert str(error).startswith(f"the encrypted connection to {address} was refused: ")
    assert "--tls-ca must hold the certificates that signed the server's" in str(error)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_server_that_asks_for_a_certificate(folder, trusting, transport, images):
    running = (
        grpc_server(folder, asks_for_certificates=True)
        if transport == "grpc"
        else http_server(server_context(folder, ssl.CERT_REQUIRED))
    )
    with (
        running as address,
        Client(address, transport, tls=trusting, limits=ONE_ATTEMPT) as client,
        pytest.raises(ServingError, match=address) as raised,
    ):
        client.predict(images)
    # Over REST, the server's refusal and the client's request cross, and the refusal may be lost.
    assert "--tls-certificate" in str(raised.value) or "it closed the connection" in str(raised.value)


def test_an_http_server_that_is_not_tensorflow_serving(images):
    with http_server() as address:
        assert OTHER_API["grpc"] in str(error_of(address, "grpc", images))
        error = error_of(address, "rest", images)

    assert str(error).startswith(f"what answers at {address} is not TensorFlow Serving's REST API: HTTP 501 ")
    assert str(error).endswith("say where that is with --address")


@pytest.mark.parametrize("tls", [None, Tls()])
def test_a_server_of_neither_api(transport, images, tls):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        threading.Thread(target=greet, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with (
            Client(address, transport, tls=tls, limits=ONE_ATTEMPT) as client,
            pytest.raises(ServingError, match=address),
        ):
            client.predict(images)
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
def test_the_error_takes_one_line_of_the_command(server, images, tmp_path):
    (tmp_path / "xray.png").write_bytes(images[0])
    for transport, other in (("grpc", "rest"), ("rest", "grpc")):
        options = ["--transport", transport, "--address", server.address(other), "--tls"]
        done = subprocess.run(
            [sys.executable, "-m", "serving.client", str(tmp_path / "xray.png"), *options],
            check=False,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "does not use TLS" in done.stderr


@pytest.mark.parametrize("address", ["http://127.0.0.1:8501", "https://example.org"])
def test_a_url_is_no_address_of_grpc(address):
    with pytest.raises(UserError, match=r"must be HOST:PORT, and a URL needs --transport rest"):
        Client(address, "grpc")


@pytest.mark.parametrize(
    "address", ["ftp://127.0.0.1:8501", "127.0.0.1:port", "http://", "127.0.0.1:99999999"]
)
def test_what_is_no_address_of_rest(address):
    with pytest.raises(UserError, match="must be HOST:PORT or an http:// URL") as raised:
        Client(address, "rest")
    assert repr(address) in str(raised.value)
