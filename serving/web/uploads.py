"""Reads the X-rays of a request."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

FIELD = "files"
"""Name of the parts of a form that are X-rays."""
_SINGLE_NAME = "body"
_LONGEST_NAME = 255  # characters of a file name that an answer repeats

OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
"""The bodies that `uploads` reads, as OpenAPI describes them."""


class Upload(NamedTuple):
    """One file of a request."""

    name: str
    content: bytes


async def read_uploads(request: Request, max_files: int) -> list[Upload]:
    """Reads the files of a form (`multipart/form-data`), or the body of any other request as one file.

    Args:
        request: the request.
        max_files: maximum number of files.

    Raises:
        HTTPException: with status 400 or 413 if there is no file, if there are too many, or if the form is
            damaged.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        body = await request.body()
        if not body:
            raise HTTPException(
                400, f"no X-ray was sent: send a form with parts named {FIELD!r}, or a file as body"
            )
        return [Upload(_SINGLE_NAME, body)]
    async with _form(request, max_files) as parts:
        files = [part for part in parts.getlist(FIELD) if isinstance(part, UploadFile)]
        if not files:
            raise HTTPException(400, f"the form has no file in a part named {FIELD!r}")
        return [Upload((file.filename or _SINGLE_NAME)[:_LONGEST_NAME], await file.read()) for file in files]


@contextlib.asynccontextmanager
async def _form(request: Request, max_files: int) -> AsyncIterator[Any]:
    try:
        parts = await request.form(max_files=max_files, max_fields=max_files)
    except HTTPException as error:  # of Starlette's parser
        if "Too many files" in str(error.detail):
            raise HTTPException(413, f"at most {max_files} files may be sent at once") from None
        raise HTTPException(400, f"the form cannot be read: {error.detail}") from None
    try:
        yield parts
    finally:
        await parts.close()
