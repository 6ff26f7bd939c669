import random
import sqlite3
import string
import time
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dualstore.terms import (
    ANALYSED_BYTES,
    TERM_CHARS,
    Analyzer,
    Chunk,
    Part,
    analysed,
    has_words,
)

# All non-ASCII is a token character to this tokenizer anyway, and it folds only ASCII.
FTS5_TOKENIZE: Final = "ascii tokenchars '#$%&+-./:=@\\^_~'"

ASCII = r"parse Config URLs 3f9ac1d x7 _ - -- . / \ : :42 @ # $ % & + ~ ^ = , ; | ! ? * ( ] { > ' `"
OTHER = 'x" é e\u0301 ß Æ İ Σ ﷺ Ꭰ 東京 タワー ｶﾞ ภาษา हिन्दी 한국어 ½ 🎉 👩\u200d💻 \u200b \u00ad'
BLANKS = [" ", "\n", "\0", "\x85", "\u2003", "\ud800"]
FRAGMENTS = st.sampled_from([*ASCII.split(), *OTHER.split(), *BLANKS, "x" * 200])
TEXTS = st.text() | st.lists(FRAGMENTS, max_size=20).map("".join)
WORDS = st.text(string.ascii_lowercase, min_size=1, max_size=12)
ANALYZER = Analyzer()


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("parseConfig", "=parseconfig ==parseconfig pars config parseconfig"),
        ("parse_config", "=parse_config ==parse_config pars config"),
        ("HTTPServer2Go", "=httpserver2go ==httpserver2go http server2 go httpserver2go"),
        ("GitHub", "=github ==github git hub github"),
        ("URLs", "=urls ==urls ur l url"),
        ("__init__", "=__init__ ==__init__ init"),
        (
            "src/app.ts:42",
            "=src/app.ts:42 =src/app.ts =app.ts ==src/app.ts:42 src app t 42",
        ),
        ("app.ts:42:7", "=app.ts:42:7 =app.ts ==app.ts:42:7 app t 42 7"),
        ("/usr/bin/env.", "=usr/bin/env ==usr/bin/env usr bin env"),
        (
            r"C:\dir\file.txt",
            r"=c:\dir\file.txt =file.txt ==c:\dir\file.txt c dir file txt",
        ),
        ("https://a.b/c?d=e", "=https://a.b/c ==https://a.b/c http a b c d e"),
        (
            "https://a.io:80",
            "=https://a.io:80 =https://a.io =a.io ==https://a.io:80 http a io 80",
        ),
        ("user@example.com", "=user@example.com ==user@example.com user exampl com"),
        ("12:30", "=12:30 ==12:30 12 30"),
        ("v1.2.3", "=v1.2.3 ==v1.2.3 v1 2 3"),
        ("covid-19", "=covid-19 ==covid-19 covid 19"),
        ("--no-cache", "=--no-cache ==--no-cache no cach"),
        ("--port=8080", "=--port ==--port port 8080"),
        ("foo-bar", "foo bar"),
        ("word--another", "word anoth"),
        ("ENOENT", "enoent"),
        ("3f9ac1d", "3f9ac1d"),
        ("3F9AC1D", "3f9ac1d"),
        ("E11000", "e11000"),
        ("SHA256", "sha256"),
        ("don't", "don t"),
        ("(running, ran)", "run ran"),
        ('"foo(bar)[baz]"', "foo bar baz"),
        ("Why?! *Because*", "why becaus"),
        ("-- ... /// --- _ __", ""),
        ("", ""),
    ],
)
def test_ascii(text: str, terms: str) -> None:
    assert ANALYZER.stream(text) == terms.split()


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("café CAFÉ cafe\u0301", "cafe cafe cafe"),
        ("naïve naive", "naiv naiv"),
        ("Straße STRASSE", "strass strass"),
        ("Łódź Ærø ÆRØ", "lodz aero aero"),
        ("Ünïcödé_Name", "=unicode_name ==unicode_name unicod name"),
        ("ｐａｒｓｅ＿ｘ", "=parse_x ==parse_x pars x"),
        ("co\u00adoperate", "cooper"),
        ("zero\u200bwidth", "zero width"),
        ("ΟΔΟΣ οδός", "οδοσ οδοσ"),
        ("Ёлки елки", "елки елки"),
        ("東京タワー", "東京 京タ タワ ワー"),
        ("水", "水"),
        ("東京、大阪。", "東京 大阪"),
        ("東京Tokyo2020", "東京 tokyo2020"),
        ("ガラス ｶﾞﾗｽ カラス", "ガラ ラス ガラ ラス カラ ラス"),
        ("한국어", "한국어"),
        ("ภาษาไทย", "ภา าษ ษา าไ ไท ทย"),
        ("हिन्दी में।", "हिन्दी में"),
        ("«guillemets» “quotes” em—dash", "guillemet quot em dash"),
        ("ship it 🎉🚀 a🎉b", "ship it a b"),
        ("👩‍💻 ❤️ …", ""),
    ],
)
def test_other_scripts(text: str, terms: str) -> None:
    assert ANALYZER.stream(text) == terms.split()


def test_a_chunk_tells_wholes_exact_and_parts() -> None:
    assert ANALYZER.chunks('see "src/loadUsers.ts"') == [
        Chunk((), None, (Part("see", "see"),)),
        Chunk(
            ("=loadusers", "=src/loadusers.ts", "=loadusers.ts"),
            "==src/loadusers.ts",
            (
                Part("src", "src"),
                Part("load", "load"),
                Part("users", "user"),
                Part("loadusers", "loadus"),
                Part("ts", "t"),
            ),
        ),
    ]


@given(TEXTS)
def test_a_query_asks_for_what_an_entry_of_the_same_text_holds(text: str) -> None:
    asked = [term for chunk in ANALYZER.chunks(text) for term in chunk.terms()]
    assert asked == Analyzer().stream(text) == ANALYZER.stream(text)


@given(TEXTS, TEXTS)
def test_text_beside_a_text_changes_none_of_its_terms(one: str, other: str) -> None:
    both = ANALYZER.stream(f"{one} {other}")
    assert both == ANALYZER.stream(one) + ANALYZER.stream(other)


@given(st.lists(WORDS, min_size=2, max_size=5), st.sampled_from("_./:@#$-\\ ,=|"))
def test_the_words_of_an_identifier_find_it(words: list[str], joint: str) -> None:
    held = set(ANALYZER.stream(joint.join(words)))
    assert held.issuperset(ANALYZER.stream(" ".join(words)))


@given(st.lists(WORDS, min_size=2, max_size=5))
def test_camel_case_is_found_by_its_words_and_in_small_letters(words: list[str]) -> None:
    held = set(ANALYZER.stream("".join(word.title() for word in words)))
    if all(len(word) > 1 for word in words):
        assert held.issuperset(ANALYZER.stream(" ".join(words)))
    assert held.issuperset(ANALYZER.stream("".join(words)))


@given(st.lists(WORDS, min_size=2, max_size=4).map("_".join))
def test_an_identifier_inside_a_chunk_is_found_whole(name: str) -> None:
    whole = f"={name}"
    assert whole in ANALYZER.stream(f"self.{name}(x)")
    assert whole in ANALYZER.chunks(name)[0].wholes
    assert ANALYZER.chunks(name)[0].exact not in ANALYZER.stream(f"self.{name}(x)")


@given(TEXTS)
@example("\u00a8\u2033\uff02\u037e\u1fef")  # turn into spaces, quotes and the like when folded
def test_terms_are_clean(text: str) -> None:
    for term in ANALYZER.stream(text):
        assert 1 <= len(term) <= TERM_CHARS
        assert term == term.lower()
        assert not any(c.isspace() or unicodedata.category(c) in {"Cc", "Cs", "So"} for c in term)
        assert '"' not in term


@given(TEXTS)
def test_a_stream_can_be_joined_and_split(text: str) -> None:
    stream = ANALYZER.stream(text)
    assert " ".join(stream).split(" ") == (stream or [""])


@given(TEXTS)
@example("\u037a")
@example("\u3392")
def test_what_has_words_has_terms(text: str) -> None:
    assert has_words(text) == bool(ANALYZER.stream(text))


@pytest.mark.parametrize("text", ["", " \n", "!?", "🎉", "👩‍💻", "___", "…—"])
def test_no_words(text: str) -> None:
    assert not has_words(text)


@pytest.mark.parametrize("text", ["a", "7", "🎉 ok", "水", "é", "²", "ﷺ"])
def test_words(text: str) -> None:
    assert has_words(text)


def test_long_terms_are_cut_alike() -> None:
    name = "very_" * 50 + "long"
    (chunk,) = ANALYZER.chunks(name)
    assert chunk.wholes == (f"={name}"[:TERM_CHARS],)
    assert chunk.exact == f"=={name}"[:TERM_CHARS]
    assert ANALYZER.stream("1" * 1000) == ["1" * TERM_CHARS]


@pytest.mark.parametrize("character", ["a", "é", "東", "🎉"])
def test_the_head_is_cut_between_characters(character: str) -> None:
    size = len(character.encode())
    text = character * (ANALYSED_BYTES // size)
    assert analysed(text) == text
    assert analysed(text + character) == text
    assert analysed("x" + text + character) == ("x" + text)[: 1 + (ANALYSED_BYTES - 1) // size]


def test_only_the_head_is_analysed() -> None:
    assert ANALYZER.stream("x " * ANALYSED_BYTES + "never")[-1] == "x"
    assert not has_words("-" * ANALYSED_BYTES + "never")


def test_lone_surrogates_are_no_obstacle() -> None:
    assert ANALYZER.stream("a\ud800b") == ["a", "b"]
    assert len(ANALYZER.stream("a\ud800b " * ANALYSED_BYTES)) > 1


def noise(alphabet: str) -> str:
    return "".join(random.Random(1).choices(alphabet, k=70_000))


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 10_000_000, "/" * 70_000, "a/" * 70_000, "a-" * 70_000, ":1" * 70_000),
        *(
            "a" + ":1" * 70_000 + "x",
            "A_" * 70_000,
            "Aa" * 70_000,
            "A" * 70_000 + "a",
            "--" * 70_000,
        ),
        *("a" + "." * 65_000 + "~b", " " * 1_000_000, "\0" * 70_000, "東" * 70_000, "ﷺ" * 70_000),
        *("\u094d" * 10_000 + "\u093c" * 10_000, "e\u0301\u0323" * 20_000, "🎉" * 70_000),
        *(noise("abcXYZ019+/"), noise("aA1_-./: ")),
    ],
    ids=lambda text: ascii(text[:3]),
)
def test_no_text_is_slow(text: str) -> None:
    start = time.perf_counter()
    Analyzer().stream(text)
    has_words(text)
    assert time.perf_counter() - start < 5


def test_common_words_outlive_a_flood_of_rare_ones() -> None:
    analyzer = Analyzer()
    first = analyzer.stream("running")[0]
    for number in range(160_000):
        analyzer.stream(f"x{number} running")
    assert analyzer.stream("running")[0] is first
    assert analyzer.stream("x1 x2") == ["x1", "x2"]


def test_threads_may_share_an_analyzer() -> None:
    words = ["".join(random.Random(seed).choices("abcdefgings", k=9)) for seed in range(3_000)]
    expected = Analyzer().stream(" ".join(words))
    shared = Analyzer()
    with ThreadPoolExecutor(8) as pool:
        streams = list(pool.map(shared.stream, [" ".join(words)] * 16))
    assert all(stream == expected for stream in streams)


@pytest.fixture(scope="module")
def fts() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE streams (id INTEGER PRIMARY KEY, terms TEXT)")
        connection.execute(
            "CREATE VIRTUAL TABLE f USING fts5(terms, content=streams, content_rowid=id, "
            f'detail=none, tokenize="{FTS5_TOKENIZE}")'
        )
        connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab(f, row)")
        yield connection


@given(TEXTS)
@example("".join(map(chr, range(1, 128))))
@example("a" + "a".join(string.punctuation) + "a")
def test_fts5_keeps_every_term_as_it_is(fts: sqlite3.Connection, text: str) -> None:
    terms = ANALYZER.stream(text)
    fts.execute("BEGIN")
    try:
        fts.execute("INSERT INTO f (rowid, terms) VALUES (1, ?)", (" ".join(terms),))
        assert {term for (term,) in fts.execute("SELECT term FROM v")} == set(terms)
        for term in set(terms):
            found = fts.execute("SELECT rowid FROM f WHERE f MATCH ?", (f'"{term}"',))
            assert found.fetchall() == [(1,)]
    finally:
        fts.execute("ROLLBACK")
