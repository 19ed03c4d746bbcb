"""Checks that the model behind a server is the one that was evaluated, by the golden images of its export."""

import asyncio
import dataclasses
import statistics
import time
from collections.abc import Awaitable, Callable

import rich.console
import rich.table

from serving import golden, names
from serving.client.answers import Reply
from serving.client.client import open_transport
from serving.client.errors import RequestRefused, ServerFailed, ServerUnavailable
from serving.client.options import ServerOptions
from serving.client.retry import with_retries
from serving.client.transport import Batch, Transport
from serving.client.waiting import wait_for_server
from serving.golden import Golden
from serving.version_folders import version_folders
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

TIMED_REQUESTS = 20
"""Requests of one image whose median time is reported."""


@dataclasses.dataclass(frozen=True)
class CheckedSignature:
    """What was found out about one signature."""

    name: str
    differences: list[str]
    """What differs from the evaluated model; empty if nothing does."""
    milliseconds: float | None
    """Median time of a request with one image; None if it failed."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was found out about a server."""

    expected_version: int
    """Number of the version whose golden images were sent."""
    answering_version: int | None
    """Number of the version that answered; None if the server did not tell it."""
    signatures: list[CheckedSignature]

    @property
    def problems(self) -> list[str]:
        """What is wrong; empty if the server has the evaluated model."""
        found = [
            f"signature {signature.name!r}: {difference}"
            for signature in self.signatures
            for difference in signature.differences
        ]
        if self.answering_version is None:
            found.insert(0, "the server does not tell which version answers")
        elif self.answering_version != self.expected_version:
            found.insert(0, f"version {self.answering_version} answers, not {self.expected_version}")
        return found


def verify(options: ServerOptions, models: str, wait: float = 0.0) -> Verification:
    """Sends the golden images of an export to each signature of a server, and compares the answers.

    Args:
        options: the server. Without a version in them, the version with the highest number in `models` is
            expected to answer.
        models: folder of exported models; a path or a URL.
        wait: seconds to wait for a server that is still starting.

    Raises:
        UserError: if the folder does not have the version, or the version has no golden images.
        ServingError: if the server cannot be reached, or does not have the model.
    """
    version, expected = _expected(options, models)
    return wait_for_server(lambda: asyncio.run(_verify(options, version, expected)), wait)


def report(verification: Verification, options: ServerOptions) -> None:
    """Prints what was found out."""
    table = rich.table.Table()
    table.add_column("signature")
    table.add_column("agrees with the evaluated model")
    table.add_column("ms for one image", justify="right")
    for signature in verification.signatures:
        milliseconds = "" if signature.milliseconds is None else f"{signature.milliseconds:.1f}"
        table.add_row(signature.name, "no" if signature.differences else "yes", milliseconds)
    answering = verification.answering_version
    console = rich.console.Console(soft_wrap=True)
    console.print(
        f"{options.server} ({options.transport}): version {'unknown' if answering is None else answering} of "
        f"model {options.model!r} answers",
        markup=False,
        highlight=False,
    )
    console.print(table)


def _expected(options: ServerOptions, models: str) -> tuple[int, Golden]:
    base_path = storage.join(models, options.model)
    folders = version_folders(base_path) if storage.exists(base_path) else {}
    version = options.version if options.version is not None else max(folders, default=None)
    if version is None or version not in folders:
        known = ", ".join(map(str, folders)) or "none"
        wanted = "no version" if version is None else f"no version {version}"
        raise UserError(f"{models!r} has {wanted} of the model {options.model!r}; versions there: {known}")
    loaded = golden.load(folders[version])
    if loaded is None:
        raise UserError(
            f"{folders[version]!r} has no golden images, as an earlier version of this project exported it: "
            "export the run again"
        )
    return version, loaded


async def _verify(options: ServerOptions, version: int, expected: Golden) -> Verification:
    transport = open_transport(options.address, options.transport, options.served_model, options.encryption)
    requests: dict[str, Batch] = {
        names.DEFAULT_SIGNATURE: expected.encoded,
        names.GRADCAM_SIGNATURE: expected.encoded,
        names.PIXELS_SIGNATURE: expected.pixels,
    }
    answering, checked = None, []
    try:
        for name, images in requests.items():
            signature, told = await _check(transport, name, images, expected, options)
            checked.append(signature)
            answering = told if answering is None else answering
    finally:
        await transport.close()
    return Verification(version, answering, checked)


async def _check(
    transport: Transport, name: str, images: Batch, expected: Golden, options: ServerOptions
) -> tuple[CheckedSignature, int | None]:
    """Checks one signature; also returns the number of the version that answered."""

    async def call(some: Batch) -> Reply:
        return await with_retries(
            lambda: transport.call(name, some, options.deadline),
            options.retries,
            lambda error: isinstance(error, ServerUnavailable),
        )

    try:
        reply = await call(images)
        found = golden.differences(expected, reply.outputs)
        milliseconds = [await _milliseconds(call, images[:1]) for _ in range(TIMED_REQUESTS)]
    except (RequestRefused, ServerFailed) as error:
        return CheckedSignature(name, [str(error)], None), None
    return CheckedSignature(name, found, statistics.median(milliseconds)), reply.version


async def _milliseconds(call: Callable[[Batch], Awaitable[Reply]], images: Batch) -> float:
    begin = time.perf_counter()
    await call(images)
    return 1000 * (time.perf_counter() - begin)
