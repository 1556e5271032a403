"""Images from storage: a link that puts the bytes of a blob in place of its `blob://` address.

Before the cache, whose key is then what the model really sees. That the suite allows the container is known.
"""

import base64
from dataclasses import replace

from assay.errors import BlobMissing, StorageError
from assay.llm.base import BLOB, ChatImage, ChatMessage, ModelError
from assay.llm.errors import FailureKind
from assay.middleware.base import Ask, Question, Reply, Unanswered
from assay.storage.base import Blobs

MAX_BYTES = 4_000_000
_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF87a": "gif", b"GIF89a": "gif"}


class BlobImages:
    """Reads the images of a question; questions without any pass unchanged."""

    def __init__(self, storage: Blobs) -> None:
        self._storage = storage

    async def begin(self) -> None:
        """Nothing to prepare."""

    async def answer(self, question: Question, ask: Ask) -> Reply:
        """The reply of `ask`. Raises Unanswered (`image_unusable`) for a blob that is no image or not there."""
        request = question.request
        if not any(one.url.startswith(BLOB) for message in request.messages for one in message.images):
            return await ask(question)
        messages = tuple([await self._with_bytes(message) for message in request.messages])
        return await ask(replace(question, request=replace(request, messages=messages)))

    async def end(self) -> None:
        """Nothing to end."""

    async def _with_bytes(self, message: ChatMessage) -> ChatMessage:
        if not message.images:
            return message
        return replace(message, images=tuple([await self._read(one) for one in message.images]))

    async def _read(self, image: ChatImage) -> ChatImage:
        if not image.url.startswith(BLOB):
            return image
        try:
            content = await self._storage.read(image.url.removeprefix(BLOB), length=MAX_BYTES + 1)
        except BlobMissing:
            raise _unusable(f"there is no {image.url}") from None
        except StorageError as error:
            raise _unusable(f"{image.url} cannot be read: {error}") from error
        if len(content) > MAX_BYTES:
            raise _unusable(f"{image.url} has more than {MAX_BYTES:,} bytes; make it smaller, or give its web address")
        return replace(image, url=f"data:image/{_kind(image, content)};base64,{base64.b64encode(content).decode()}")


def _kind(image: ChatImage, content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    kind = next((kind for sign, kind in _KINDS.items() if content.startswith(sign)), None)
    if kind is None:
        raise _unusable(f"{image.url} is no PNG, JPEG, GIF or WEBP image")
    return kind


def _unusable(said: str) -> Unanswered:
    return Unanswered(ModelError(FailureKind.IMAGE_UNUSABLE, f"The image cannot be sent: {said}", sent=False))
