"""docs/serving-contract.md, section 9: TLS and mutual TLS for gRPC, by --ssl_config_file."""

import grpc
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving.server.assembly import running_server
from serving.server.settings import ServerSettings
from tests.serving.authority import Authority
from tests.serving.contract.wire import predict_request


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("authority")


def quoted(pem: bytes) -> str:
    return '"' + pem.decode().replace("\n", "\\n") + '"'


def started(models, tmp_path, authority, *, client_verify):
    server = Authority("localhost", authority)
    file = tmp_path / "ssl.config"
    file.write_text(
        f"server_key: {quoted(server.key)} server_cert: {quoted(server.certificate)} "
        f"custom_ca: {quoted(authority.certificate)} client_verify: {str(client_verify).lower()}"
    )
    return running_server(ServerSettings(models, grpc_port=0, rest_port=0, ssl_config_file=str(file)))


def predict(port, images, credentials=None):
    address = f"localhost:{port}"
    channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
    with channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return stub.Predict(predict_request(images[:1]), timeout=20)


def test_tls(models, tmp_path, authority, encoded_images):
    with started(models, tmp_path, authority, client_verify=False) as ports:
        trusting = grpc.ssl_channel_credentials(authority.certificate)
        assert predict(ports.grpc, encoded_images, trusting).model_spec.version.value == 1
        other = grpc.ssl_channel_credentials(Authority("other").certificate)
        for credentials in (None, other):
            with pytest.raises(grpc.RpcError):
                predict(ports.grpc, encoded_images, credentials)


def test_mutual_tls(models, tmp_path, authority, encoded_images):
    with started(models, tmp_path, authority, client_verify=True) as ports:
        known = Authority("client", authority)
        mutual = grpc.ssl_channel_credentials(authority.certificate, known.key, known.certificate)
        assert predict(ports.grpc, encoded_images, mutual).model_spec.version.value == 1
        stranger = Authority("stranger")
        unknown = grpc.ssl_channel_credentials(authority.certificate, stranger.key, stranger.certificate)
        for credentials in (grpc.ssl_channel_credentials(authority.certificate), unknown):
            with pytest.raises(grpc.RpcError):
                predict(ports.grpc, encoded_images, credentials)
