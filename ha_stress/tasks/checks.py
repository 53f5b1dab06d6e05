"""What a response must be like, beyond having arrived, and how it is written. Pure. `checking` looks at responses.

    status == 200        status in 200,204,300-399        status < 400
    header content-type contains json                     header etag exists
    body contains ok     body matches ^ok$                body not contains error
    json $.items[0].id == 3      json $.ok exists         json $.items[*].name contains Ann
    size < 10k           latency < 200ms

A header is compared as text (`<` and its like: as a number); of several headers or values of one name one must fit. What
is not there fits nothing but `!=`, `not contains` and `not exists`. A body is looked at as it came, undecoded, and a
regular expression searches in it. JSON values are written as JSON: 3, "3", true, null; a bare word is a string. A value in
quotes is what is between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import CHECK_TEXT_MAX
from ha_stress.tasks.jsonpath import split_path


class Subject(StrEnum):
    """What of a response a check looks at."""

    STATUS = "status"
    HEADER = "header"  # `argument` is its name, in lower case
    BODY = "body"
    JSON = "json"  # `argument` is a path such as $.items[0].id
    SIZE = "size"  # bytes of the body
    LATENCY = "latency"  # milliseconds of service time


class Operator(StrEnum):
    EQUAL = "=="
    UNEQUAL = "!="
    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="
    IN = "in"  # numbers and ranges of them, separated by commas
    CONTAINS = "contains"
    LACKS = "not contains"
    MATCHES = "matches"  # a regular expression, searched for
    EXISTS = "exists"
    ABSENT = "not exists"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition; `text` is how the operator wrote it and the name under which failures of it are counted.

    `value` is a number wherever the comparison is one of numbers, else text; that of a JSON `==` is the JSON text.
    """

    text: str
    subject: Subject
    argument: str = ""
    operator: Operator = Operator.EQUAL
    value: str | float = ""


_O = Operator
Comparisons = Mapping[str, Callable[[Any, Any], bool]]
#: By operator: how numbers are compared, here and by thresholds.
ORDER: Final[Comparisons] = {_O.BELOW: lt, _O.AT_MOST: le, _O.ABOVE: gt, _O.AT_LEAST: ge}
COMPARE: Final[Comparisons] = {_O.EQUAL: eq, _O.UNEQUAL: ne, **ORDER}
_WORDS: Final = (_O.CONTAINS, _O.LACKS, _O.MATCHES)
_HAVE: Final = {_O.EXISTS, _O.ABSENT}

#: What can be asked of what, with an example for whoever asks something else.
_OPERATORS: Final[dict[Subject, tuple[frozenset[str], str]]] = {
    Subject.STATUS: (frozenset({*COMPARE, _O.IN}), "status == 200"),
    Subject.HEADER: (frozenset({*COMPARE, *_WORDS, *_HAVE}), "header content-type contains json"),
    Subject.BODY: (frozenset({_O.EQUAL, _O.UNEQUAL, *_WORDS}), "body contains ok"),
    Subject.JSON: (frozenset({*COMPARE, *_WORDS, *_HAVE}), "json $.items[0].id == 3"),
    Subject.SIZE: (frozenset(COMPARE), "size < 10k"),
    Subject.LATENCY: (frozenset(ORDER), "latency < 200ms"),
}
_EXAMPLES: Final = ", ".join(f"{example!r}" for _, example in _OPERATORS.values())

_SUBJECT: Final = re.compile(r"(status|header|body|json|size|latency)(?![\w-])\s*(.*)", re.IGNORECASE | re.DOTALL)
_HEADER_NAME: Final = re.compile(r"([\w.-]+)\s*(.*)", re.ASCII | re.DOTALL)
_CONDITION: Final = re.compile(
    r"(==|!=|<=|>=|<|>|(?:not\s+contains|contains|matches|not\s+exists|exists|in)(?!\w))\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_NUMBER: Final = re.compile(r"(-?\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)", re.ASCII)
_RANGES: Final = re.compile(r"\d{3}(?:-\d{3})?(?:\s*,\s*\d{3}(?:-\d{3})?)*", re.ASCII)
_BYTES: Final = {"": 1, "b": 1, "k": 1e3, "kb": 1e3, "kib": 1024, "m": 1e6, "mb": 1e6, "mib": 1 << 20}
_MILLISECONDS: Final = {"": 1.0, "us": 0.001, "ms": 1.0, "s": 1000.0}


def parse_check(text: str) -> Check:
    """What `text` asks for; ConfigError says what is wrong with it, with an example."""
    text = text.strip()
    if len(text) > CHECK_TEXT_MAX or not text.isprintable():
        raise ConfigError(f"check {text[:40]!r} must be one line of at most {CHECK_TEXT_MAX} characters")
    found = _SUBJECT.fullmatch(text)
    if not found:
        raise ConfigError(f"check {text!r} is not understood: write for example {_EXAMPLES}")
    subject = Subject(found[1].lower())
    argument, rest = _argument(text, subject, found[2])
    condition = _CONDITION.fullmatch(rest.strip())
    allowed, example = _OPERATORS[subject]
    which = Operator(" ".join(condition[1].lower().split())) if condition else None
    if condition is None or which is None or which not in allowed:
        raise _wrong(text, f"of {subject} one can ask {', '.join(o for o in Operator if o in allowed)}", example)
    value = _value(text, subject, which, condition[2].strip())
    check = Check(text=text, subject=subject, argument=argument, operator=which, value=value)
    if which is _O.MATCHES:
        _check_pattern(check)
    return check


def _wrong(text: str, why: str, example: str) -> ConfigError:
    return ConfigError(f"check {text!r}: {why}; write for example {example!r}")


def _argument(text: str, subject: Subject, rest: str) -> tuple[str, str]:
    """The header's name or the JSON path, and what follows."""
    if subject is Subject.HEADER:
        name = _HEADER_NAME.fullmatch(rest)
        if not name:
            raise _wrong(text, "it names no header", "header content-type contains json")
        return name[1].lower(), name[2]
    if subject is Subject.JSON:
        path, after = split_path(rest)
        if not path or after[:1] in (".", "["):
            raise _wrong(text, "it has no path that can be read", "json $.items[0]['two words'] == 3")
        return path, after
    return "", rest


def _value(text: str, subject: Subject, which: Operator, rest: str) -> str | float:
    example = _OPERATORS[subject][1]
    if which in _HAVE:
        if rest:
            raise _wrong(text, f"nothing follows {which!s}", f"json $.ok {which!s}")
        return ""
    if not rest:
        raise _wrong(text, "the value is missing", example)
    if which is _O.IN:
        if not _RANGES.fullmatch(rest) or not all(low <= (high or low) for low, _, high in ranges_of(rest)):
            raise _wrong(text, "these are not statuses", "status in 200,204,300-399")
        return rest
    if subject is Subject.STATUS:
        if not re.fullmatch(r"[1-9][0-9]{2}", rest):
            raise _wrong(text, "a status is a number of three digits", example)
        return float(rest)
    if subject in (Subject.SIZE, Subject.LATENCY):
        if rest.startswith("-"):
            raise _wrong(text, f"a {subject} is never below 0", example)
        return _number(text, rest, _BYTES if subject is Subject.SIZE else _MILLISECONDS, example)
    if which in ORDER:
        return _number(text, rest, {"": 1}, f"{subject} ... {which} 3")
    if subject is Subject.JSON and which in COMPARE:
        return rest
    return unquoted(rest)


def ranges_of(statuses: str) -> list[tuple[str, str, str]]:
    """(low, "-", high) of each, or (status, "", "")."""
    return [part.strip().partition("-") for part in statuses.split(",")]


def _number(text: str, rest: str, units: dict[str, Any], example: str) -> float:
    found = _NUMBER.fullmatch(rest)
    if not found or found[2].lower() not in units:
        raise _wrong(text, f"{rest!r} is not a number with a unit that is known here", example)
    return float(found[1]) * float(units[found[2].lower()])


def unquoted(text: str) -> str:
    """What is between the quotes, if there are any around it."""
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'" else text


def _check_pattern(check: Check) -> None:
    try:
        re.compile(str(check.value).encode())
    except (re.error, OverflowError, RecursionError) as error:
        raise _wrong(check.text, f"the regular expression is broken: {error}", "body matches ^ok$") from None
