"""All settings of the web service. They need neither FastAPI nor TensorFlow: `--help` comes at once."""

import dataclasses
import ipaddress
from pathlib import Path
from typing import Annotated

from serving.client.options import ServerOptions
from serving.names import LOCAL_HOST, WEB_PORT
from tfrecords_builder.cli.options import optional
from tfrecords_builder.errors import UserError

MEGABYTE = 1 << 20  # bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class WebSettings(ServerOptions):
    """Serves a web page, where people drop X-rays and see the answers, and the same as an HTTP API with JSON.

    It asks a model server: TensorFlow Serving or `python -m serving.local`. X-rays are JPEG, PNG, BMP, GIF or
    DICOM files; of DICOM, only the gray levels leave this service. Nothing is stored, and neither file names
    nor what DICOM says of the patient are logged. HOST:PORT/docs describes the API.

    This is a research tool, not a medical device.
    """

    host: str = LOCAL_HOST
    """Address to listen at. 0.0.0.0 accepts connections from other machines: then give --token-file, too."""
    port: int = WEB_PORT
    """Port to listen at, 1 to 65535; 0 for any free port."""
    token_file: Annotated[str | None, optional("FILE")] = None
    """File whose content is a token, at least 16 characters. Requests to the API must then have the header
    `Authorization: Bearer TOKEN`; the page asks for it."""
    max_files: int = 100
    """Maximum number of files in a request, at least 1."""
    max_megabytes: int = 100
    """Maximum size of a request, at least 1 MiB."""
    max_seconds: float = 60.0
    """Seconds, above 0, within which a request must have arrived and been answered."""
    max_requests: int = 64
    """Maximum number of connections at the same time, at least 1. Requests of further ones are refused."""
    retries: int = 2
    """Maximum number of times, at least 0, that a request to the model server is sent again if that server is
    busy or restarting."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.port < 1 << 16:
            raise ValueError(f"port must be 0 to 65535. Received: {self.port}")
        for name in ("max_files", "max_megabytes", "max_requests"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)}")
        if not self.max_seconds > 0:
            raise ValueError(f"max_seconds must be above 0. Received: {self.max_seconds}")

    @property
    def max_bytes(self) -> int:
        """Maximum number of bytes of a request."""
        return self.max_megabytes * MEGABYTE

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def read_token(file: str) -> str:
    """Reads a token.

    Raises:
        UserError: if the file cannot be read, or the token is too short or not plain text.
    """
    try:
        token = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"cannot read the token file {file!r}: {reason}") from None
    shortest = 16  # characters
    if len(token) < shortest or not (token.isascii() and token.isprintable()) or " " in token:
        raise UserError(
            f"the token in {file!r} must be at least {shortest} ASCII characters without spaces, as "
            f"`openssl rand -hex 32` writes. Received: {len(token)} characters"
        )
    return token
