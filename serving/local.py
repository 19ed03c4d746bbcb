"""`python -m serving.local MODELS`: serves exported models on this machine, as TensorFlow Serving does.

It is for laptops, tests and CI. In production, run TensorFlow Serving itself (`Dockerfile.serving`).
"""

import logging

from serving.names import REST_MODELS
from serving.server.settings import ServerSettings
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run


def main(settings: ServerSettings) -> None:
    """Serves until the process receives SIGINT or SIGTERM."""
    from serving.server.assembly import running_server
    from serving.server.stop_signals import stop_signals

    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with stop_signals() as received_signal, running_server(settings) as ports:
        grpc_address, rest_address = f"{settings.host}:{ports.grpc}", f"http://{settings.host}:{ports.rest}"
        print(f"ready: gRPC {grpc_address}, REST {rest_address}{REST_MODELS}", flush=True)  # noqa: T201
        received_signal.recv(1)


if __name__ == "__main__":
    run(main, ServerSettings, "python -m serving.local", load=startup.load_tensorflow)
