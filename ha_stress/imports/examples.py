"""An example value for a JSON schema (OpenAPI 3.0 and 3.1). Pure, and the same each time.

What the author wrote comes first: `example`, `examples`, `const`, `default`, `enum`. Only then a value is made of type,
format and bounds. A `pattern` is not solved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

#: Deeper than any example that a person would write; a schema may contain itself.
DEPTH_MAX: Final = 8
#: Items and characters that bounds may ask for.
LENGTH_MAX: Final = 1_000

_FORMATS: Final = {
    "date": "2024-01-31",
    "date-time": "2024-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1M",
    "email": "user@example.org",
    "idn-email": "user@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.org/",
    "url": "https://example.org/",
    "uri-reference": "/path",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "byte": "ZXhhbXBsZQ==",
    "binary": "example",
    "password": "password",
    "json-pointer": "/a",
    "regex": ".*",
}

Resolve = Callable[[Any], Mapping[str, Any]]


class _Omit:
    """No value: what would be here contains itself."""


OMIT: Final = _Omit()


def example_of(schema: Any, resolve: Resolve, depth: int = 0) -> Any:
    """`resolve` follows a `$ref`. OMIT if the schema is too deep to have an example."""
    if schema is True or schema is None:
        return "example"
    if depth > DEPTH_MAX or schema is False:
        return OMIT
    schema = resolve(schema)
    written = _written(schema)
    if written is not OMIT:
        return written
    for name in ("oneOf", "anyOf"):
        for choice in schema.get(name) or ():
            if resolve(choice).get("type") == "null":
                continue
            found = example_of({**_without(schema, name), **resolve(choice)}, resolve, depth + 1)
            if found is not OMIT:
                return found
    if schema.get("allOf"):
        return example_of(_united(schema, resolve, depth), resolve, depth + 1)
    return _made(schema, resolve, depth)


def _written(schema: Mapping[str, Any]) -> Any:
    if "example" in schema:
        return schema["example"]
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        return examples[0]
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    values = schema.get("enum")
    return values[0] if isinstance(values, list) and values else OMIT


def _without(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}


def _united(schema: Mapping[str, Any], resolve: Resolve, depth: int) -> dict[str, Any]:
    """All of `allOf` as one schema."""
    whole: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    required: list[str] = []
    for part in (*schema["allOf"], _without(schema, "allOf")):
        one = resolve(part)
        if one.get("allOf") and depth < DEPTH_MAX:
            one = _united(one, resolve, depth + 1)
        whole |= one
        properties |= one.get("properties") or {}
        required += one.get("required") or ()
    return whole | ({"properties": properties, "required": required} if properties else {})


def _made(schema: Mapping[str, Any], resolve: Resolve, depth: int) -> Any:
    match _type(schema):
        case "object":
            return _object(schema, resolve, depth)
        case "array":
            item = example_of(schema.get("items"), resolve, depth + 1)
            return [] if item is OMIT else [item] * min(max(1, _int(schema.get("minItems"))), LENGTH_MAX)
        case "integer":
            return int(_number(schema, 1))
        case "number":
            return _number(schema, 1.5)
        case "boolean":
            return True
        case "null":
            return None
    return _string(schema)


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):  # 3.1
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _object(schema: Mapping[str, Any], resolve: Resolve, depth: int) -> Any:
    found = {}
    required = schema.get("required") or ()
    for name, part in (schema.get("properties") or {}).items():
        one = resolve(part) if isinstance(part, dict) else {}
        if one.get("readOnly"):
            continue
        value = example_of(part, resolve, depth + 1)
        if value is not OMIT:
            found[name] = value
        elif name in required:
            return OMIT
    return found


def _number(schema: Mapping[str, Any], plain: float) -> float:
    low, high = _bound(schema, "minimum", "exclusiveMinimum", 1), _bound(schema, "maximum", "exclusiveMaximum", -1)
    value: float = plain
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high
    step = schema.get("multipleOf")
    if isinstance(step, int | float) and step > 0 and value % step:
        value += step - value % step
    return value


def _bound(schema: Mapping[str, Any], name: str, exclusive: str, inwards: int) -> float | None:
    """`exclusiveMinimum` is a boolean in 3.0 and a number in 3.1."""
    bound, strict = schema.get(name), schema.get(exclusive)
    if isinstance(strict, int | float) and not isinstance(strict, bool):
        return strict + inwards
    if not isinstance(bound, int | float):
        return None
    return bound + inwards if strict is True else bound


def _string(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format", "")), "example")
    low = min(_int(schema.get("minLength")), LENGTH_MAX)
    high = schema.get("maxLength")
    text += "x" * (low - len(text))
    return text[:high] if isinstance(high, int) and high >= 0 else text


def _int(value: Any) -> int:
    return value if isinstance(value, int) else 0
