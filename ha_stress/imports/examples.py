"""An example value for a JSON schema (OpenAPI 3.0 and 3.1). Pure, and the same each time.

What the author wrote comes first: `example`, `examples`, `const`, `default`, `enum`. Only then a value is made of type,
format and bounds. A `pattern` is not solved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Deeper than any example that a person would write.
DEPTH_MAX: Final = 8
#: Items and characters that bounds may ask for.
LENGTH_MAX: Final = 1_000
#: Schemas that are looked at for one example, of which an array's items count as often as there are items. Those of a large
#: description refer to each other in more ways than anybody could count: then the example is not as deep.
SCHEMAS_MAX: Final = 5_000

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


def example_of(schema: Any, resolve: Resolve) -> Any:
    """`resolve` follows a `$ref`. OMIT if the schema requires itself, or more than an example may have."""
    depths = ((depth_max, True) for depth_max in range(DEPTH_MAX, -1, -1))
    for depth_max, optional in (*depths, (DEPTH_MAX, False)):
        making = _Making(resolve=resolve, depth_max=depth_max, optional=optional)
        value = making.value_of(schema, _Way())
        if value is not OMIT and making.seen <= SCHEMAS_MAX:
            return value
    return OMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """What is around a value: each `$ref` that led to it, and how many schemas."""

    references: frozenset[str] = frozenset()
    depth: int = 0

    def passes(self, schema: Any) -> bool:
        """Whether it has been here before: what comes would contain itself."""
        return isinstance(schema, dict) and schema.get("$ref") in self.references

    def into(self, schema: Any, deeper: int = 1) -> _Way:
        reference = {schema["$ref"]} if isinstance(schema, dict) and "$ref" in schema else set()
        return _Way(references=self.references | reference, depth=self.depth + deeper)


@dataclass(slots=True, kw_only=True)
class _Making:
    """One example while it is made, with what is `optional` or without it."""

    resolve: Resolve
    depth_max: int
    optional: bool
    seen: int = 0

    def value_of(self, schema: Any, way: _Way) -> Any:
        self.seen += 1
        if schema is True or schema is None:
            return "example"
        if schema is False or self.seen > SCHEMAS_MAX:
            return OMIT
        found = self.resolve(schema)
        written = _written(found)
        if written is not OMIT:
            return written
        if way.passes(schema) or (way.depth > self.depth_max and _has_parts(found)):
            return OMIT
        way = way.into(schema)
        for name in ("oneOf", "anyOf"):
            for choice in found.get(name) or ():
                value = self._chosen(_without(found, name), choice, way)
                if value is not OMIT:
                    return value
        if found.get("allOf"):
            return self.value_of(self._united(found, way), way)
        return self._made(found, way)

    def _chosen(self, around: Mapping[str, Any], choice: Any, way: _Way) -> Any:
        found = self.resolve(choice)
        if found.get("type") == "null" or (way.passes(choice) and _written(found) is OMIT):
            return OMIT
        return self.value_of({**around, **found}, way.into(choice, deeper=0))

    def _united(self, schema: Mapping[str, Any], way: _Way) -> dict[str, Any]:
        """All of `allOf` as one schema."""
        whole: dict[str, Any] = {}
        properties: dict[str, Any] = {}
        required: list[str] = []
        for part in (*schema["allOf"], _without(schema, "allOf")):
            self.seen += 1
            one = self.resolve(part)
            if one.get("allOf") and way.depth < self.depth_max and not way.passes(part) and self.seen < SCHEMAS_MAX:
                one = self._united(one, way.into(part))
            whole |= _without(one, "allOf")
            properties |= one.get("properties") or {}
            required += one.get("required") or ()
        return whole | ({"properties": properties, "required": required} if properties else {})

    def _made(self, schema: Mapping[str, Any], way: _Way) -> Any:
        match _type(schema):
            case "object":
                return self._object(schema, way)
            case "array":
                return self._array(schema, way)
            case "integer":
                return int(_number(schema, 1))
            case "number":
                return _number(schema, 1.5)
            case "boolean":
                return True
            case "null":
                return None
        return _string(schema)

    def _array(self, schema: Mapping[str, Any], way: _Way) -> Any:
        before = self.seen
        item = self.value_of(schema.get("items"), way)
        if item is OMIT:
            return []
        cost = self.seen - before
        count = min(max(1, _int(schema.get("minItems"))), LENGTH_MAX, max(1, SCHEMAS_MAX // cost))
        self.seen += cost * (count - 1)
        return [item] * count

    def _object(self, schema: Mapping[str, Any], way: _Way) -> Any:
        found = {}
        required = schema.get("required") or ()
        for name, part in (schema.get("properties") or {}).items():
            wanted = self.optional or name in required
            if not wanted or (isinstance(part, dict) and self.resolve(part).get("readOnly")):
                continue
            value = self.value_of(part, way)
            if value is not OMIT:
                found[name] = value
            elif name in required:
                return OMIT
        return found


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


def _has_parts(schema: Mapping[str, Any]) -> bool:
    return any(schema.get(name) for name in ("oneOf", "anyOf", "allOf")) or _type(schema) in ("object", "array")


def _without(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):  # 3.1
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


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
