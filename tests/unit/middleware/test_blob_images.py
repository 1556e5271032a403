"""Images from storage: their bytes go to the model, and nothing else does."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from chain_bench import Asked, question

from assay.errors import StorageError
from assay.llm.base import ChatImage, ChatMessage
from assay.llm.errors import FailureKind
from assay.middleware.base import Question, Unanswered
from assay.middleware.cached_answer import cache_key
from assay.middleware.images import MAX_BYTES, BlobImages
from assay.storage.memory import MemoryStorage

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


def showing(*urls: str) -> Question:
    asked = question("What is this?", system="Look.")
    *before, last = asked.request.messages
    seen = ChatMessage("user", last.content, tuple(ChatImage(url, "low") for url in urls))
    return replace(asked, request=replace(asked.request, messages=(*before, seen)))


async def sent(*urls: str, content: bytes = PNG) -> list[str]:
    storage, asked = MemoryStorage(), Asked()
    await storage.write("photos/1.png", content)
    await BlobImages(storage).answer(showing(*urls), asked)
    return [one.url for one in asked.questions[0].request.messages[-1].images]


async def refused(url: str, content: bytes = PNG) -> Unanswered:
    with pytest.raises(Unanswered) as caught:
        await sent(url, content=content)
    return caught.value


async def test_a_blob_is_sent_as_data_and_a_web_address_as_it_is() -> None:
    """The service cannot read our storage."""
    data = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert await sent("blob://photos/1.png", "https://x.org/1") == [data, "https://x.org/1"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"\xff\xd8\xff\xe0", "jpeg"), (b"GIF89a", "gif"), (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "webp"), (PNG, "png")],
)
async def test_the_kind_of_an_image_is_read_from_its_bytes(content: bytes, kind: str) -> None:
    """Names lie."""
    assert (await sent("blob://photos/1.png", content=content))[0].startswith(f"data:image/{kind};base64,")


async def test_a_question_without_images_from_storage_passes_unchanged() -> None:
    """And costs no operation."""
    for asked in (question(), showing("https://x.org/1")):
        below = Asked()
        await BlobImages(MemoryStorage()).answer(asked, below)
        assert below.questions == [asked]


@pytest.mark.parametrize(
    ("url", "content", "said"),
    [
        ("blob://photos/2.png", PNG, "there is no blob://photos/2.png"),
        ("blob://photos/1.png", PNG + b"x" * MAX_BYTES, "has more than 4,000,000 bytes"),
        ("blob://photos/1.png", b"secret,text\n", "is no PNG, JPEG, GIF or WEBP image"),
        ("blob://photos/1.png", b"", "is no PNG, JPEG, GIF or WEBP image"),
    ],
)
async def test_what_is_no_image_is_not_sent(url: str, content: bytes, said: str) -> None:
    """The trial fails and says why; nothing was billed."""
    error = await refused(url, content)
    assert (error.last.kind, error.last.sent, error.attempts) == (FailureKind.IMAGE_UNUSABLE, False, ())
    assert said in str(error.last)


async def test_storage_that_cannot_be_read_fails_the_trial_and_no_more() -> None:
    """The next one may fare better."""

    class Broken(MemoryStorage):
        async def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
            raise StorageError("no answer")

    with pytest.raises(Unanswered, match="cannot be read: no answer"):
        await BlobImages(Broken()).answer(showing("blob://photos/1.png"), Asked())


def test_an_image_is_part_of_the_cache_s_key() -> None:
    """Another picture is another question; what it is taken to count as is not."""
    assert cache_key(showing("https://x.org/1")) != cache_key(showing("https://x.org/2"))
    one = showing("https://x.org/1")
    *before, last = one.request.messages
    dearer = replace(last, images=(replace(last.images[0], tokens=999),))
    assert cache_key(replace(one, request=replace(one.request, messages=(*before, dearer)))) == cache_key(one)
