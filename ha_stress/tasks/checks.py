"""What a response must be like, beyond having arrived."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Subject(StrEnum):
    """What of a response a check looks at."""

    STATUS = "status"
    HEADER = "header"  # `argument` is its name
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
    CONTAINS = "contains"
    MATCHES = "matches"  # a regular expression, searched for
    EXISTS = "exists"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition; `text` is how the operator wrote it and the name under which failures of it are counted."""

    text: str
    subject: Subject
    argument: str = ""
    operator: Operator = Operator.EQUAL
    value: str | float = ""
