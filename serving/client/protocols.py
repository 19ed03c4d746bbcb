"""Finds out what a server speaks after a connection to it failed, because no transport says it plainly."""

import asyncio
import dataclasses
import socket
import ssl

from serving.client import errors
from serving.client.errors import ServerUnreachable
from serving.names import GRPC_PORT, REST_PORT

_SECONDS = 2.0  # how long each attempt waits for the server
_HTTP2_HELLO = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5)
)  # RFC 9113: preface, SETTINGS
_SETTINGS = b"\4"  # type of the first frame that a server sends
_TYPE_OF_FRAME = slice(3, 4)
_HTTP1_HELLO = b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What is spoken over a connection."""

    grpc: bool
    """HTTP/2, as gRPC does, and not HTTP/1.1, as the REST API does."""
    encrypted: bool
    """Whether the connection is encrypted (TLS)."""


async def explain_failure(
    address: str, host: str, port: int, wanted: Protocol, refusal: str | None
) -> ServerUnreachable | None:
    """The error for a connection that failed because the server speaks something else, or was not trusted.

    Args:
        address: address of the server as the user gave it.
        host: name or address of the server.
        port: port of the server.
        wanted: what the client speaks.
        refusal: what the transport says if it could not make the connection; None if the connection broke
            later.

    Returns:
        None if nothing answers, or what answers could not be recognised, or the failure has another reason.
    """
    spoken = await _spoken_at(host, port, wanted)
    if spoken is None:
        return None
    if spoken != wanted:
        return _wrong_protocol(address, spoken, wanted)
    return errors.not_trusted(address, refusal) if wanted.encrypted and refusal is not None else None


def _wrong_protocol(address: str, spoken: Protocol, wanted: Protocol) -> errors.WrongProtocol:
    differences, remedies = [], []
    if spoken.grpc != wanted.grpc:
        differences.append("speaks gRPC, not REST" if spoken.grpc else "speaks HTTP/1.1 (REST), not gRPC")
        remedies.append(
            f"choose --transport {'grpc' if spoken.grpc else 'rest'}, or the port of the other API (usually "
            f"{GRPC_PORT} for gRPC and {REST_PORT} for REST)"
        )
    if spoken.encrypted != wanted.encrypted:
        differences.append("expects TLS" if spoken.encrypted else "does not use TLS")
        remedies.append("add --tls" if spoken.encrypted else "leave out https:// and the --tls options")
    return errors.wrong_protocol(address, ", and ".join(differences), "; ".join(remedies))


async def _spoken_at(host: str, port: int, wanted: Protocol) -> Protocol | None:
    """What the server speaks of all that this project's transports speak; what is wanted is tried first."""
    others = [
        Protocol(wanted.grpc, not wanted.encrypted),
        Protocol(not wanted.grpc, wanted.encrypted),
        Protocol(not wanted.grpc, not wanted.encrypted),
    ]
    for protocol in (wanted, *others):
        try:
            async with asyncio.timeout(_SECONDS):
                if await _speaks(host, port, protocol):
                    return protocol
        except (ConnectionRefusedError, socket.gaierror, UnicodeError):  # nothing listens there
            return None
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            continue
    return None


async def _speaks(host: str, port: int, protocol: Protocol) -> bool:
    alpn = "h2" if protocol.grpc else "http/1.1"
    reader, writer = await asyncio.open_connection(
        host, port, ssl=_trusting_context(alpn) if protocol.encrypted else None
    )
    try:
        if protocol.encrypted and writer.get_extra_info("ssl_object").selected_alpn_protocol() == alpn:
            return True
        writer.write(_HTTP2_HELLO if protocol.grpc else _HTTP1_HELLO % host.encode("ascii", "ignore"))
        beginning = await reader.read(9)
    finally:
        writer.close()
    return beginning[_TYPE_OF_FRAME] == _SETTINGS if protocol.grpc else beginning.startswith(b"HTTP/1")


def _trusting_context(alpn: str) -> ssl.SSLContext:
    """Trusts every server: nothing is sent to it but the question what it speaks."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    return context
