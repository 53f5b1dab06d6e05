"""Examples of JSON schemas, above all of those that contain themselves."""

from __future__ import annotations

import json
from time import process_time
from typing import Any

import pytest

from ha_stress.imports import openapi
from ha_stress.imports.examples import OMIT, example_of


def test_a_schema_that_requires_itself_has_no_example_and_an_optional_one_ends() -> None:
    schemas: dict[str, Any] = {
        "must": {"type": "object", "required": ["me"], "properties": {"me": {"$ref": "must"}}},
        "may": {"type": "object", "properties": {"me": {"$ref": "may"}, "n": {"type": "integer"}}},
    }

    def resolve(schema: Any) -> dict[str, Any]:
        found: dict[str, Any] = schemas[schema["$ref"]] if "$ref" in schema else schema
        return found

    assert example_of({"$ref": "must"}, resolve) is OMIT
    assert example_of({"$ref": "may"}, resolve)["n"] == 1


def test_what_contains_itself_ends_where_it_would_and_a_written_example_stands_all_the_same() -> None:
    schemas: dict[str, Any] = {
        "tree": {"properties": {"left": {"$ref": "tree"}, "all": {"type": "array", "items": {"$ref": "tree"}}}},
        "node": {"allOf": [{"$ref": "node"}, {"properties": {"n": {"type": "integer"}}}]},
        "beside": {"properties": {"one": {"$ref": "beside", "example": 7}}},
        "choice": {"oneOf": [{"$ref": "choice"}, {"type": "integer"}]},
        "twice": {"properties": {"a": {"$ref": "leaf"}, "b": {"$ref": "leaf"}}},
        "leaf": {"type": "boolean"},
    }

    def resolve(schema: Any) -> dict[str, Any]:
        beside = {name: one for name, one in schema.items() if name != "$ref"}
        return {**schemas[schema["$ref"]], **beside} if "$ref" in schema else beside

    found = {name: example_of({"$ref": name}, resolve) for name in schemas}
    assert found == {
        "tree": {"all": []},
        "node": {"n": 1},
        "beside": {"one": 7},
        "choice": 1,
        "twice": {"a": True, "b": True},
        "leaf": True,
    }


@pytest.mark.parametrize("shape", ["itself", "objects", "lists", "required", "all of", "one of"])
def test_an_example_of_what_is_recursive_in_many_ways_is_made_quickly_and_stays_small(shape: str) -> None:
    """Eight references to each of twelve schemas: with only a bound on the depth these were 10**8 values."""
    count = 12

    def one(number: int) -> dict[str, Any]:
        others = [{"$ref": f"#/components/schemas/S{other}"} for other in range(count)]
        plain: dict[str, Any] = {"n": {"type": "integer"}}
        match shape:
            case "itself":
                return {"properties": {f"c{n}": others[number] for n in range(count)} | plain}
            case "objects":
                return {"properties": {f"c{n}": other for n, other in enumerate(others)} | plain}
            case "lists":
                lists = {f"c{n}": {"type": "array", "minItems": 9, "items": other} for n, other in enumerate(others)}
                return {"properties": lists | plain}
            case "required":  # three that lead to the next, which is a tree that ends, and many that do not
                needed = {f"r{n}": others[number + 1] for n in range(3)} if number < 3 else {}
                return {
                    "required": list(needed),
                    "properties": {f"c{n}": x for n, x in enumerate(others)} | needed | plain,
                }
            case "all of":
                return {"allOf": [*others, {"properties": plain}]}
        return {"properties": {f"c{n}": {"oneOf": others} for n in range(count)} | plain}

    post = {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}}}
    document = {"openapi": "3.0.3", "servers": [{"url": "http://h"}], "paths": {"/a": {"post": post}}}
    begun = process_time()
    (request,) = openapi.requests_of(
        document | {"components": {"schemas": {f"S{number}": one(number) for number in range(count)}}}
    ).requests
    assert process_time() - begun < 1.0, "seconds of processor time, where a tenth is needed"
    assert json.loads(request.body)["n" if shape != "required" else "r2"]
    assert len(request.body) < 200_000


def test_lists_of_lists_do_not_become_longer_than_an_example_may_be() -> None:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(6):
        schema = {"type": "array", "minItems": 1000, "items": schema}
    text = json.dumps(example_of(schema, lambda one: one))
    assert text.startswith("[[[[[[1, 1,") and len(text) < 50_000
