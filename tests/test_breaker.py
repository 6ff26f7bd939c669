import random

from dualstore.breaker import CLOSED, FIRST_PAUSE, LONGEST_PAUSE


def test_it_is_closed_at_first_and_opens_with_a_failure() -> None:
    assert CLOSED.allows(0)
    opened = CLOSED.failed(1000, chance=random.Random(1))
    assert not opened.allows(1000)
    assert opened.allows(1000 + FIRST_PAUSE)


def test_pauses_double_and_end_at_the_longest() -> None:
    chance, breaker, pauses = random.Random(1), CLOSED, []
    for _ in range(40):
        breaker = breaker.failed(0, chance=chance)
        pauses.append(breaker.retry_at)
    bounds = [min(LONGEST_PAUSE, FIRST_PAUSE * 2**n) for n in range(40)]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
    assert len(set(pauses)) > 20


def test_pauses_differ_from_one_to_another() -> None:
    assert len({CLOSED.failed(0, chance=random.Random(seed)).retry_at for seed in range(20)}) > 10
