"""What every embedder must do."""

import asyncio

import numpy as np
import pytest

from dualstore.embedders.base import Embedder
from dualstore.embedders.checking import checked

WEIRD = [
    "Guten Morgen, wie geht es dir?",
    "今日は良い天気ですね。明日も晴れるでしょう。",
    "Привет, как дела?",
    "مرحبا كيف حالك",
    "नमस्ते आप कैसे हैं",
    "สวัสดีครับ",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🎉",
    "a\x00b \x00 \x07 \x1b[31mred\x1b[0m \x7f \x85",
    "half a pair: \ud83d and the other: \udc00",
    "e\u0301 \u202eright to left\u202c \ufeff",
    "[UNK] [PAD] [CLS] ##ing </s>",
    "!!! ... ???",
    "x",
]


async def test_is_named_and_has_a_dimension(embedder: Embedder) -> None:
    assert embedder.name
    assert embedder.dimension > 0
    assert embedder.chunk_chars > 0
    assert embedder.identity == f"{embedder.name}/{embedder.version}/{embedder.dimension}"


async def test_gives_one_normalised_row_for_each_text_in_order(embedder: Embedder) -> None:
    texts = [f"the quick fox number {number} jumps" for number in range(100)]
    rows = await embedder.embed(texts)
    assert rows.shape == (100, embedder.dimension)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    for place in (0, 31, 32, 99):
        np.testing.assert_array_equal(rows[place], (await embedder.embed([texts[place]]))[0])


async def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert (await embedder.embed([])).shape == (0, embedder.dimension)


@pytest.mark.parametrize("nothing", ["", " ", "\n\t \u3000"])
async def test_a_text_with_nothing_in_it_gives_a_row_of_zeros(
    embedder: Embedder, nothing: str
) -> None:
    rows = await embedder.embed(["before", nothing, "after"])
    assert not rows[1].any()
    assert rows[0].any()
    assert rows[2].any()


async def test_weird_texts_give_finite_rows_and_disturb_nobody(embedder: Embedder) -> None:
    alone = await embedder.embed(["plain words"])
    rows = await embedder.embed([*WEIRD, "plain words"])
    assert np.isfinite(rows).all()
    lengths = np.linalg.norm(rows, axis=1)
    assert (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()
    np.testing.assert_array_equal(rows[-1], alone[0])


@pytest.mark.parametrize(
    "text",
    ["words and more of them " * 450_000, "x" * 10_000_000, "漢" * 5_000_000, "\x00" * 10_000_000],
    ids=["words", "one word", "one Chinese word", "nothing"],
)
@pytest.mark.timeout(10)
async def test_ten_mebibytes_are_a_text_like_any_other(embedder: Embedder, text: str) -> None:
    rows = await embedder.embed([text, "short"])
    assert np.isfinite(rows).all()
    assert rows[1].any()


async def test_the_same_text_gives_the_same_vector_at_the_same_time(embedder: Embedder) -> None:
    texts = [f"message {number}" for number in range(40)]
    answers = await asyncio.gather(*(embedder.embed(texts) for _ in range(8)))
    for rows in answers:
        np.testing.assert_array_equal(rows, answers[0])


async def test_texts_that_share_words_are_nearer_than_others(embedder: Embedder) -> None:
    red, scarlet, other = await embedder.embed(
        ["deploy the server today", "today deploy the new server", "cats like fish"]
    )
    assert red @ scarlet > red @ other + 0.2


async def test_a_cancelled_call_disturbs_no_other(embedder: Embedder) -> None:
    task = asyncio.create_task(embedder.embed(["some words"] * 5_000))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await embedder.embed(["still there"])).any()


async def test_the_checked_one_gives_the_same(embedder: Embedder) -> None:
    texts = ["one text", "", "and another"]
    wrapped = checked(embedder)
    assert wrapped.identity == embedder.identity
    np.testing.assert_allclose(await wrapped.embed(texts), await embedder.embed(texts), atol=1e-6)
