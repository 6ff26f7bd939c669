"""What is English about the ranking, in one table. Nothing breaks without it."""

import re
from typing import Final

STOP_WORDS: Final = frozenset(
    """
    a about after again all also am an and any are as at be because been before being but by can
    could did do does doing don for from had has have having he her here hers him his how i if in
    into is it its itself just me more most my no nor not of off on once only or other our ours out
    over own s same she should so some such t than that the their theirs them then there these they
    this those through to too under until up very was we were what when where which while who whom
    whose why will with would you your yours
    """.split()
)
"""Words that say nothing of what is asked for."""

ASKS_WHEN: Final = re.compile(
    r"\b(?:when|how long|since when|(?:what|which) (?:date|day|month|year|time|week))\b", re.I
)
"""Questions that a time answers."""

MONTHS: Final = (
    "january february march april may june july august september october november december".split()
)

_DAYS: Final = "mon tues wednes thurs fri satur sun".split()
_UNITS: Final = "second minute hour day night week weekend month year morning afternoon evening"
_SPANS: Final = f"{_UNITS} summer winter spring autumn fall few couple".split()

TIME_WORDS: Final = frozenset(
    f"yesterday today tonight tomorrow ago weekend recently lately {' '.join(MONTHS)}".split()
) - {"may", "march"} | {f"{day}day" for day in _DAYS}
"""Words that place something in time by themselves."""
TIME_LEADS: Final = frozenset("last next this past".split())
"""Words that do, before one of `TIME_UNITS`; a number does, too."""
TIME_UNITS: Final = frozenset(_SPANS) | {f"{day}day" for day in _DAYS}

_MAY: Final = r"may(?! (?:be|not|have|also|still|only|need|fail|cause|break|happen|occur)\b)"
_NAMES: Final = "|".join([_MAY, *(month for month in MONTHS if month != "may")])
_SHORT: Final = r"(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b"
_MONTH: Final = rf"(?P<month>{_NAMES}|{_SHORT})\.?"
_WHOLE_MONTH: Final = f"(?P<month>{_NAMES})"
_DAY: Final = r"(?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR: Final = r"(?P<year>(?:19|20)\d\d)"
_NUMBERS: Final = rf"{_YEAR}-(?P<number>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])"
_BEFORE: Final = "(?:in|during|of|since|until|by|before|after|late|early|mid|last|this)"
DATES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b{_DAY}(?: of)? {_MONTH},?(?: {_YEAR})?\b",
        rf"\b{_MONTH} {_DAY}\b,?(?: {_YEAR})?",
        rf"\b{_NUMBERS}(?!\d)",
        rf"\b{_MONTH},? {_YEAR}\b",
        rf"\b(?!this may){_BEFORE} {_WHOLE_MONTH}\b",
    )
)
"""How a date is written, in lower case; the first that is found counts. `may` is a verb, too."""
