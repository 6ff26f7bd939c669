"""Made-up agent messages of about 400 characters, the same in every run."""

import random
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

_SYLLABLES = "ba con der est for gra hin ist jun kel lor men nor ost per qui ras sel tor un ver wen"
_CODE = (
    "parseConfig",
    "load_settings",
    "src/app/{}.ts:42",
    "ENOENT",
    "tests/test_{}.py",
    "v1.{}.0",
)


class Corpus:
    """Words whose frequencies fall as they do in real text, with identifiers between them."""

    def __init__(self, *, seed: int = 1, words: int = 30_000) -> None:
        self._random = random.Random(seed)
        syllables = _SYLLABLES.split()
        made = dict.fromkeys(
            "".join(self._random.choices(syllables, k=self._random.choice((1, 2, 2, 3, 3, 4))))
            for _ in range(words * 3)
        )
        self.words = list(made)[:words]
        self._weights = list(accumulate(1 / (rank + 2.7) for rank in range(len(self.words))))

    def text(self, length: int = 400) -> str:
        """One message."""
        pieces: list[str] = []
        size = 0
        while size < length:
            piece = self._code() if self._random.random() < 0.06 else self._word()
            pieces.append(piece)
            size += len(piece) + 1
        return " ".join(pieces)[:length]

    def messages(self, count: int, *, sessions: int = 100) -> Iterator[dict[str, Any]]:
        """Callers' mappings, in order of time."""
        for number in range(count):
            yield {
                "id": f"message:{number:08}",
                "text": self.text(),
                "timestamp": 1_700_000_000_000 + number * 1000,
                "metadata": {
                    "session_id": f"session-{self._random.randrange(sessions):05}",
                    "author": self._random.choice(("user", "assistant", "tool")),
                    "tokens": self._random.randrange(1000),
                },
            }

    def _word(self) -> str:
        return self._random.choices(self.words, cum_weights=self._weights)[0]

    def _code(self) -> str:
        return self._random.choice(_CODE).format(self._random.randrange(500))
