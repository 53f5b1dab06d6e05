"""Whether a response is as the checks of its task say. Pure, and fit for an engine's hot path: what can be done once is done
in `compiled`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from ha_stress.tasks.checks import COMPARE, ORDER, Check, Operator, Subject, ranges_of, unquoted
from ha_stress.tasks.jsonpath import find, parse_path

_O = Operator
_NEGATED: Final = {_O.UNEQUAL: _O.EQUAL, _O.LACKS: _O.CONTAINS, _O.ABSENT: _O.EXISTS}

#: Implied for HTTP where a task says nothing about the status itself.
IMPLIED: Final = Check(text="status<400", subject=Subject.STATUS, operator=Operator.BELOW, value=400.0)

Headers = Sequence[tuple[bytes, bytes]]


def with_implied(checks: Iterable[Check]) -> tuple[Check, ...]:
    """The checks of an HTTP response: a task without one of the status gets `status<400`."""
    given = tuple(checks)
    return given if any(check.subject is Subject.STATUS for check in given) else (IMPLIED, *given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """Checks made ready for use. `passing` are the statuses with which every check of the status passes; if `only_status`,
    there is nothing more to look at, and then a caller may look the status up in it and be done."""

    passing: frozenset[int]
    by_status: dict[int, tuple[str, ...]]
    rest: tuple[tuple[str, Callable[[_Response], bool]], ...]
    needs_headers: bool
    needs_body: bool
    only_status: bool


class _Response:
    """What the checks of one response look at; its body is decoded at most once."""

    __slots__ = ("_document", "body", "headers", "latency_ms")

    def __init__(self, headers: Headers, body: bytes, latency_ms: float) -> None:
        self.headers = headers
        self.body = body
        self.latency_ms = latency_ms
        self._document: list[Any] | None = None

    def document(self) -> list[Any]:
        """The JSON document in a list, which is empty if the body is something else."""
        if self._document is None:
            try:
                self._document = [json.loads(bytes(self.body))]  # one without its coding says the length it had with it
            except (ValueError, RecursionError):
                self._document = []
        return self._document


def compiled(checks: Iterable[Check]) -> Compiled:
    """Do once what need not be done for each response. A check that is given twice is one."""
    unique = {check.text: check for check in checks}
    status = [(text, _of_status(check)) for text, check in unique.items() if check.subject is Subject.STATUS]
    rest = [check for check in unique.values() if check.subject is not Subject.STATUS]
    by_status = {code: tuple(text for text, passes in status if not passes(code)) for code in range(100, 1000)}
    return Compiled(
        passing=frozenset(code for code, failing in by_status.items() if not failing),
        by_status=by_status,
        rest=tuple((check.text, _test(check)) for check in rest),
        needs_headers=any(check.subject is Subject.HEADER for check in rest),
        needs_body=any(check.subject in (Subject.BODY, Subject.JSON, Subject.SIZE) for check in rest),
        only_status=not rest,
    )


def failures(checks: Compiled, status: int, headers: Headers, body: bytes, latency_ms: float) -> list[str]:
    """The texts of the checks that fail. Without `needs_headers` or `needs_body` those may be left empty. Header names
    are compared without regard to case."""
    failed = list(checks.by_status.get(status, ()))
    if checks.rest:
        response = _Response(headers, body, latency_ms)
        failed += [text for text, passes in checks.rest if not passes(response)]
    return failed


def _of_status(check: Check) -> Callable[[int], bool]:
    if check.operator is _O.IN:
        ranges = [range(int(low), int(high or low) + 1) for low, _, high in ranges_of(str(check.value))]
        return lambda code: any(code in one for one in ranges)
    compare, value = COMPARE[check.operator], float(check.value)
    return lambda code: compare(code, value)


def _test(check: Check) -> Callable[[_Response], bool]:
    if check.operator in _NEGATED and check.subject in (Subject.HEADER, Subject.JSON, Subject.BODY):
        return _negated(check)
    match check.subject:
        case Subject.SIZE:
            compare, value = COMPARE[check.operator], float(check.value)
            return lambda response: compare(len(response.body), value)
        case Subject.LATENCY:
            compare, value = COMPARE[check.operator], float(check.value)
            return lambda response: compare(response.latency_ms, value)
        case Subject.BODY:
            fits = _fits_bytes(check)
            return lambda response: fits(response.body)
        case Subject.HEADER:
            fits, name = _fits_bytes(check), check.argument.encode()
            return lambda response: any(fits(value) for key, value in response.headers if key.lower() == name)
        case _:
            json_fits, steps = _fits_json(check), parse_path(check.argument) or ()
            return lambda response: any(
                json_fits(value) for document in response.document() for value in find(document, steps)
            )


def _negated(check: Check) -> Callable[[_Response], bool]:
    """The opposite; but a body that is not JSON fails whatever is asked of it."""
    passes = _test(replace(check, operator=_NEGATED[check.operator]))
    if check.subject is Subject.JSON:
        return lambda response: bool(response.document()) and not passes(response)
    return lambda response: not passes(response)


def _fits_bytes(check: Check) -> Callable[[bytes], bool]:
    """Conditions of a header's value or a body."""
    if check.operator is _O.EXISTS:
        return lambda _: True
    if check.operator in ORDER:
        return partial(_number_fits, ORDER[check.operator], float(check.value))
    value = str(check.value).encode()
    if check.operator is _O.CONTAINS:
        return lambda data: value in data
    if check.operator is _O.MATCHES:
        search = re.compile(value).search
        return lambda data: search(data) is not None
    return lambda data: data == value


def _number_fits(compare: Callable[[float, float], bool], value: float, data: bytes) -> bool:
    try:
        return compare(float(data), value)
    except ValueError:
        return False


def _fits_json(check: Check) -> Callable[[Any], bool]:
    match check.operator:
        case Operator.EXISTS:
            return lambda _: True
        case Operator.EQUAL:
            wanted = _json_value(str(check.value))
            kind = type(wanted) is bool  # in Python, but not in JSON, true is 1
            return lambda value: bool(value == wanted) and (type(value) is bool) == kind
        case Operator.CONTAINS:
            text, element = str(check.value), _json_value(str(check.value))
            return lambda value: text in value if isinstance(value, str | dict) else _has(value, element)
        case Operator.MATCHES:
            return partial(_json_matches, re.compile(str(check.value)))
        case _:
            compare, bound = COMPARE[check.operator], float(check.value)
            return lambda value: type(value) in (int, float) and compare(value, bound)


def _json_matches(pattern: re.Pattern[str], value: Any) -> bool:
    try:
        return pattern.search(value if isinstance(value, str) else json.dumps(value)) is not None
    except RecursionError:  # as deep as can just be read
        return False


def _has(value: Any, element: Any) -> bool:
    return isinstance(value, list) and element in value


def _json_value(text: str) -> Any:
    """A JSON value as it is written in a check; what is none is a string."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return unquoted(text)
