"""The bundled embedder: what its vectors mean, what they cost, what they are made of."""

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
import time
import warnings
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from dualstore.embedders import static
from dualstore.embedders.base import Vectors, WordVectors
from dualstore.embedders.static import READ_CHARS, VERSION, StaticEmbedder

# Ready in under 0.8 s on an idle machine; this one may be busy.
READY_SECONDS = 2.4

DIGESTS = {
    "1": {
        "config.json": "e13266c6aa4c3d3956a95a9eb4f6c1d5af7c20b4ca91bd0c40335bb844310ba5",
        "model.safetensors": "99647dfd8725a6a3fa90529e2c9716fcebf4d6b4c17530121ca4e776281bad5f",
        "tokenizer.json": "dd33465341c98889c3338356b6200c8b232b89af5f1b7aa8e6ee1d4d7a699631",
    }
}
# The first numbers of what model2vec's own StaticModel gives for the same files.
REFERENCE = {
    "The build failed because the disk was full.": [
        -0.0559358,
        -0.3462692,
        0.1917799,
        -0.1198624,
        -0.0985535,
        -0.1225260,
    ],
    "parseConfig() in src/app.ts:42 raised ENOENT": [
        0.2748716,
        -0.1876108,
        0.3621325,
        -0.0785348,
        -0.0567196,
        -0.1745217,
    ],
    "Über naïve cafés: 漢字 and emoji 🎉": [
        0.1107391,
        -0.1302812,
        0.1476521,
        0.1519948,
        -0.0586266,
        -0.3756442,
    ],
}

PARAPHRASES = [
    ("How do I restart the database server?", "Ways to reboot the SQL server"),
    ("The build failed because the disk was full.", "Compilation error: no space left on device"),
    ("My dog loves to run in the park", "The puppy enjoys playing outside on the grass"),
    ("We need a cheaper flight to Paris", "Find inexpensive plane tickets to France"),
    ("She was promoted to manager last week", "He got a new job with a higher salary"),
    ("The song was performed by a famous singer", "A well-known musician played the music"),
    ("Add unit tests for the parser", "Write test cases covering parsing"),
    ("The soup needs more salt", "This meal tastes bland, season it"),
]


@pytest.fixture
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


def test_other_files_are_another_version() -> None:
    folder = files(static.__package__) / "static_minilm"
    found = {
        name: hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest()
        for name in DIGESTS[VERSION]
    }
    assert found == DIGESTS[VERSION]


def test_its_licence_is_beside_it() -> None:
    folder = files(static.__package__) / "static_minilm"
    assert "all-MiniLM-L6-v2" in folder.joinpath("NOTICE").read_text()
    assert "Apache License" in folder.joinpath("LICENSE").read_text()


async def test_is_what_model2vec_makes_of_the_same_files(embedder: StaticEmbedder) -> None:
    rows = await embedder.embed(list(REFERENCE))
    expected = np.array(list(REFERENCE.values()))
    np.testing.assert_allclose(rows[:, : expected.shape[1]], expected, atol=1e-6)


async def test_a_paraphrase_is_nearer_than_anything_else(embedder: StaticEmbedder) -> None:
    questions = await embedder.embed([question for question, _ in PARAPHRASES])
    answers = await embedder.embed([answer for _, answer in PARAPHRASES])
    nearest = (questions @ answers.T).argmax(axis=1)
    assert (nearest == np.arange(len(PARAPHRASES))).mean() >= 0.85


async def test_a_fresh_process_is_soon_ready() -> None:
    script = (
        "import asyncio\n"
        "from dualstore.embedders.static import StaticEmbedder\n"
        "assert asyncio.run(StaticEmbedder().embed(['ready'])).any()\n"
    )
    started = time.perf_counter()
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], check=True)
    assert time.perf_counter() - started < READY_SECONDS


async def test_importing_and_opening_load_nothing() -> None:
    script = (
        "import asyncio, sys\n"
        "from dualstore.embedders.static import StaticEmbedder\n"
        "async def main():\n"
        "    async with StaticEmbedder() as embedder:\n"
        "        assert embedder.identity == 'static-minilm/1/256'\n"
        "asyncio.run(main())\n"
        "assert 'tokenizers' not in sys.modules\n"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], check=True)


async def test_known_words_are_embedded_faster_than_they_can_be_tokenized(
    embedder: StaticEmbedder,
) -> None:
    """A ratio within one run: pieces are remembered, so a text costs less than its tokens."""
    tokenizer = static._read_tokenizer()
    sentences = [sentence for pair in PARAPHRASES for sentence in pair]
    texts = [" ".join(sentences[at % 9 : at % 9 + 6]) for at in range(1_000)]
    await embedder.embed(texts)
    embedding = min([await _seconds(embedder, texts) for _ in range(3)])
    started = time.perf_counter()
    for text in texts:
        tokenizer.encode(text, add_special_tokens=False)
    assert embedding < (time.perf_counter() - started) * 0.8


async def test_the_loop_goes_on_while_it_embeds(embedder: StaticEmbedder) -> None:
    await embedder.load()
    texts = [f"{number:x} message about {number * 7919:x} things" for number in range(20_000)]
    task = asyncio.create_task(embedder.embed(texts))
    beats = [time.perf_counter()]
    while not task.done():
        await asyncio.sleep(0.001)
        beats.append(time.perf_counter())
    assert len(beats) > 20
    gaps = sorted(after - before for before, after in pairwise(beats))
    assert gaps[len(gaps) // 2] < 0.05


async def test_threads_may_share_one_and_load_it_once(
    embedder: StaticEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[int] = []
    read = static._read_rows

    def counted() -> NDArray[np.int8]:
        loads.append(1)
        return read()

    monkeypatch.setattr(static, "_read_rows", counted)
    words = [f"word{number}" for number in range(500)]
    answers: list[Vectors] = []
    threads = [
        threading.Thread(target=lambda: answers.append(embedder.word_vectors(words)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    for rows in answers:
        np.testing.assert_array_equal(rows, answers[0])


async def test_memory_of_pieces_is_bounded_and_changes_nothing(
    embedder: StaticEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"piece {number}abc and {number}xyz" for number in range(200)]
    before = await embedder.embed(texts)
    monkeypatch.setattr(static, "_GENERATION", 50)
    forgetful = StaticEmbedder()
    for _ in range(2):
        np.testing.assert_array_equal(await forgetful.embed(texts), before)
    memo = forgetful._table()._tokens
    assert len(memo) <= 50
    assert len(memo._old) <= 50
    forgetful.word_vectors(["x" * 65])
    assert "x" * 65 not in memo


async def test_only_the_beginning_of_a_long_text_is_read(embedder: StaticEmbedder) -> None:
    head = "some words " * (READ_CHARS // 11 + 1)
    rows = await embedder.embed([head[:READ_CHARS], head[:READ_CHARS] + " dogs and cats"])
    np.testing.assert_array_equal(rows[0], rows[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
async def test_works_in_a_forked_process_without_a_warning() -> None:
    script = (
        "import asyncio, os, sys\n"
        "from dualstore.embedders.static import StaticEmbedder\n"
        "before = dict(os.environ)\n"
        "embedder = StaticEmbedder()\n"
        "rows = asyncio.run(embedder.embed(['a text'] * 2000))\n"
        "assert dict(os.environ) == before\n"
        "child = os.fork()\n"
        "again = asyncio.run(embedder.embed(['a text', 'new words']))\n"
        "assert (again[0] == rows[0]).all()\n"
        "if child:\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_has_word_vectors(embedder: StaticEmbedder) -> None:
    assert isinstance(embedder, WordVectors)


async def test_the_vectors_of_its_words_add_up_to_the_text(embedder: StaticEmbedder) -> None:
    words = "the deployment of parseConfig failed unexpectedly at midnight".split()
    total = embedder.word_vectors(words).sum(axis=0)
    text = (await embedder.embed([" ".join(words)]))[0]
    np.testing.assert_allclose(total / np.linalg.norm(total), text, atol=1e-6)


def test_rare_words_weigh_more_than_common_ones(embedder: StaticEmbedder) -> None:
    the, database = np.linalg.norm(embedder.word_vectors(["the", "database"]), axis=1)
    assert database > 2 * the


def test_an_unknown_word_is_a_row_of_zeros(embedder: StaticEmbedder) -> None:
    rows = embedder.word_vectors(["", "x" * 5_000, "word"])
    assert rows.any(axis=1).tolist() == [False, False, True]
    assert embedder.word_vectors([]).shape == (0, 256)


def test_related_words_are_nearest_first_and_without_the_word(embedder: StaticEmbedder) -> None:
    (found,) = embedder.related_words(["Dog"])
    names = [word for word, _ in found]
    assert {"canine", "dogs", "puppy"} <= set(names)
    assert "dog" not in names
    cosines = [cosine for _, cosine in found]
    assert cosines == sorted(cosines, reverse=True)
    assert all(0.5 <= cosine <= 1 for cosine in cosines)
    assert found[:3] == [pair for pair in found if pair[1] >= found[2][1]]
    (fewer,) = embedder.related_words(["dog"], at_least=0.8)
    assert fewer == [pair for pair in found if pair[1] >= 0.8]


def test_words_that_are_asked_together_have_what_each_has_alone(embedder: StaticEmbedder) -> None:
    words = ["dog", "", "deployment", "dog", "x" * 5_000, "rain"]
    alone = [StaticEmbedder().related_words([word])[0] for word in words]
    assert embedder.related_words(words) == alone
    assert embedder.related_words([]) == []
    assert embedder.related_words(["rain", "snow"])[0] == alone[-1]


def test_related_words_are_exact(embedder: StaticEmbedder) -> None:
    found = dict(embedder.related_words(["deployment"], at_least=0.4)[0])
    words = ["deployment", *found]
    rows = embedder.word_vectors(words)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(list(found.values()), (rows @ rows[0])[1:], atol=1e-4)


@pytest.mark.parametrize("word", ["", " ", "x" * 5_000, "🎉", "\x00", "\ud83d"])
def test_nothing_is_related_to_what_it_does_not_know(embedder: StaticEmbedder, word: str) -> None:
    assert embedder.related_words([word], at_least=0.99) == [[]]


async def test_warns_of_nothing(embedder: StaticEmbedder) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await embedder.embed(["", "\x00", "text"])
        embedder.related_words([""])


async def _seconds(embedder: StaticEmbedder, texts: list[str]) -> float:
    started = time.perf_counter()
    await embedder.embed(texts)
    return time.perf_counter() - started
