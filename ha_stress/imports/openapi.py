"""OpenAPI 3.0 and 3.1 descriptions: one request an operation, with example values. Pure; the caller parses JSON or YAML.

Only what an operation requires is sent, and what its author gave an example for. Credentials are not in a description: what
an operation asks for is said in a note.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urljoin, urlsplit

from ha_stress.base.errors import ConfigError
from ha_stress.imports.examples import OMIT, example_of
from ha_stress.imports.imported import MALFORMED, URL_SAFE, Imported, ImportedRequest, Notes, merged
from ha_stress.imports.multipart import Part, encoded
from ha_stress.imports.parameters import Values, pieces_of, put, text_of
from ha_stress.tasks.protocols import HTTP
from ha_stress.tasks.request_names import clean

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_REFERENCES_MAX: Final = 32
_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"


def requests_of(
    document: Any, *, base_url: str = "", methods: Collection[str] = (), tags: Collection[str] = ()
) -> Imported:
    """One request for each operation. `base_url` stands for the first server of the description, or completes it if that
    is relative; `methods` and `tags` keep only operations of those. ConfigError is one sentence."""
    try:
        return _requests_of(document, base_url, methods, tags)
    except MALFORMED as error:
        raise ConfigError(f"the description has another shape than OpenAPI says: {error}") from None


def _requests_of(document: Any, base_url: str, methods: Collection[str], tags: Collection[str]) -> Imported:
    _check_version(document)
    reading = _Reading(document)
    wanted = {method.lower() for method in methods} or set(METHODS)
    requests = []
    for path, shared, method, operation in reading.operations():
        if method in wanted and (not tags or set(tags) & set(operation.get("tags") or ())):
            if operation.get("deprecated"):
                reading.notes.say(f"{method.upper()} {path} is deprecated and was left out")
                continue
            try:
                # What is nearest to the operation counts.
                servers = operation.get("servers") or shared.get("servers") or document.get("servers")
                requests.append(reading.request(_base_url(servers, base_url), path, shared, method, operation))
            except MALFORMED as error:
                where = f"{method.upper()} {path}"
                raise ConfigError(f"{where} has another shape than OpenAPI says: {error}") from None
    if not requests:
        raise ConfigError("the description has no operation that was asked for")
    return Imported(requests=merged(requests), notes=reading.notes.all())


def _check_version(document: Any) -> None:
    if not isinstance(document, dict):
        raise ConfigError("not an OpenAPI description: it is not an object")
    if "swagger" in document:
        raise ConfigError(f"Swagger {document['swagger']} cannot be imported: convert the description to OpenAPI 3")
    if not str(document.get("openapi", "")).startswith("3."):
        raise ConfigError("not an OpenAPI description: it has no field openapi that begins with 3.")
    if not isinstance(document.get("paths"), dict):
        raise ConfigError("the OpenAPI description has no paths")


def _base_url(servers: Any, given: str) -> str:
    first = servers[0] if isinstance(servers, list) and servers and isinstance(servers[0], dict) else {}
    url = str(first.get("url") or "/")
    for name, variable in (first.get("variables") or {}).items():
        url = url.replace(f"{{{name}}}", str((variable or {}).get("default", "")))
    if given:
        if urlsplit(given).scheme not in HTTP or not urlsplit(given).hostname:
            raise ConfigError(f"--base {given!r} is not a URL: write for example http://127.0.0.1:8080")
        # A whole server is replaced, a relative one is completed.
        url = given if "://" in url else urljoin(given.rstrip("/") + "/", url.lstrip("/"))
    parts = urlsplit(url)
    if parts.scheme not in HTTP or not parts.hostname:
        raise ConfigError(f"the description names no server ({url!r}): give its URL with --base")
    return url.rstrip("/")


class _Reading:
    """One description while it is read."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self.notes = Notes()

    def operations(self) -> Iterator[tuple[str, Mapping[str, Any], str, Mapping[str, Any]]]:
        """(path, what its operations share, method, operation), in the order of the description."""
        for path, found in self._document["paths"].items():
            shared = self.resolve(found)
            for method in METHODS:
                if method in shared:
                    operation = shared[method]
                    if not isinstance(operation, dict):
                        raise ConfigError(f"paths.{path}.{method} is not an object")
                    yield str(path), shared, method, operation

    def resolve(self, value: Any) -> Mapping[str, Any]:
        """An object, or what its $ref points to; what stands beside a $ref wins."""
        beside: dict[str, Any] = {}
        for _ in range(_REFERENCES_MAX):
            if not isinstance(value, dict):
                return {}
            reference = value.get("$ref")
            if reference is None:
                return {**value, **beside}
            beside = {**{key: one for key, one in value.items() if key != "$ref"}, **beside}
            value = self._at(str(reference))
        raise ConfigError("a $ref of the description points to itself")

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise ConfigError(f"$ref {reference!r} points outside of the description: bundle it into one file")
        found: Any = self._document
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                raise ConfigError(f"$ref {reference!r} points to nothing")
            found = found[name]
        return found

    def request(
        self, base: str, path: str, shared: Mapping[str, Any], method: str, operation: Mapping[str, Any]
    ) -> ImportedRequest:
        where = f"{method.upper()} {path}"
        values = self._values(where, shared, operation)
        body, kind = self._body(where, operation)
        accept = self._accept(operation)
        headers = [*values.headers, *([("Content-Type", kind)] if kind else ())]
        headers += [("Accept", accept)] if accept else []
        headers += [("Cookie", "; ".join(values.cookies))] if values.cookies else []
        self._note_security(operation)
        url = base + "".join(values.path.get(piece, piece) for piece in pieces_of(path))
        url += f"?{urlencode(values.query, quote_via=quote)}" if values.query else ""
        name = (
            clean(f"{method.upper()} {urlsplit(base).path}{path}") if "{" in path else ""
        )  # else the URL says as much
        return ImportedRequest(
            url=quote(url, safe=URL_SAFE), method=method.upper(), headers=tuple(headers), body=body, name=name
        )

    def _values(self, where: str, shared: Mapping[str, Any], operation: Mapping[str, Any]) -> Values:
        parameters: dict[tuple[str, str], Mapping[str, Any]] = {}
        for found in (*_listed(where, shared), *_listed(where, operation)):
            one = self.resolve(found)
            parameters[str(one.get("name", "")), str(one.get("in", ""))] = one
        values = Values()
        for (name, place), parameter in parameters.items():
            if not (parameter.get("required") or place == "path" or self._has_example(parameter)):
                continue
            value = self._example(parameter)
            if value is OMIT:
                self.notes.say(f"{where}: no example can be made for the parameter {name}")
                continue
            put(values, name, place, parameter, value)
        for piece in pieces_of(where.partition(" ")[2]):
            if piece.startswith("{") and piece not in values.path:
                self.notes.say(f"{where}: the description says nothing of {piece}; it was left as it is")
        return values

    def _has_example(self, parameter: Mapping[str, Any]) -> bool:
        return (
            "example" in parameter
            or bool(parameter.get("examples"))
            or "example" in self.resolve(parameter.get("schema"))
        )

    def _example(self, holder: Mapping[str, Any]) -> Any:
        """Of a parameter, a media type or a header."""
        if "example" in holder:
            return holder["example"]
        examples = holder.get("examples")
        if isinstance(examples, dict):
            for found in examples.values():
                one = self.resolve(found)
                if "value" in one:
                    return one["value"]
        content = holder.get("content")
        if isinstance(content, dict) and content:
            return json.dumps(self._example(self.resolve(next(iter(content.values())))), default=str)
        return example_of(holder.get("schema"), self.resolve)

    def _body(self, where: str, operation: Mapping[str, Any]) -> tuple[bytes, str]:
        """(body, media type); ("" for none)."""
        content = self.resolve(operation.get("requestBody")).get("content")
        if not isinstance(content, dict) or not content:
            return b"", ""
        kind = min(content, key=_preference)
        value = self._example(self.resolve(content[kind]))
        if value is OMIT:
            self.notes.say(f"{where}: no example can be made for its body")
            return b"", ""
        if kind == _MULTIPART and isinstance(value, dict):
            made, body = encoded(list(self._parts(self.resolve(content[kind]), value)))
            return body, made
        if kind == _FORM and isinstance(value, dict):
            return urlencode({name: text_of(one) for name, one in value.items()}).encode(), kind
        if isinstance(value, str) and not _is_json(kind):
            return value.encode("utf-8", "replace"), kind if "*" not in kind else "application/octet-stream"
        if not _is_json(kind) and "*" not in kind:
            self.notes.say(f"{where}: its body is {kind}, of which no example can be made; it is sent as JSON text")
        return json.dumps(value, default=str).encode(), kind if "*" not in kind else "application/json"

    def _parts(self, media: Mapping[str, Any], value: Mapping[str, Any]) -> Iterator[Part]:
        """What is binary is a file, and has a name: a server that wants one refuses anything else."""
        fields = self.resolve(self.resolve(media.get("schema")).get("properties"))
        kinds = self.resolve(media.get("encoding"))
        for name, one in value.items():
            schema = self.resolve(fields.get(name))
            several = isinstance(one, list) and self._is_file(self.resolve(schema.get("items")))
            kind = str(self.resolve(kinds.get(name)).get("contentType") or "").partition(",")[0]
            if several or self._is_file(schema):
                for part in one if several else (one,):
                    data, file = text_of(part).encode(), "application/octet-stream"
                    yield Part(name=str(name), data=data, kind=kind or file, filename="file")
            else:
                yield Part(name=str(name), data=text_of(one).encode(), kind=kind)

    def _is_file(self, schema: Mapping[str, Any]) -> bool:
        """As OpenAPI 3.0 says it, and as 3.1 does."""
        return schema.get("format") == "binary" or (
            "contentMediaType" in schema and "contentEncoding" not in schema and schema.get("type") in (None, "string")
        )

    def _accept(self, operation: Mapping[str, Any]) -> str:
        """The media type of its success."""
        responses = operation.get("responses")
        for status, found in responses.items() if isinstance(responses, dict) else ():
            if str(status).startswith("2"):
                content = self.resolve(found).get("content")
                return str(next(iter(content), "")) if isinstance(content, dict) else ""
        return ""

    def _note_security(self, operation: Mapping[str, Any]) -> None:
        asked = operation.get("security", self._document.get("security"))
        if not isinstance(asked, list) or not asked or {} in asked:
            return
        schemes = self.resolve(self._document.get("components")).get("securitySchemes") or {}
        for name in asked[0] if isinstance(asked[0], dict) else ():
            scheme = self.resolve(schemes.get(name))
            if scheme.get("type") == "apiKey":
                self.notes.say(f"{name}: add your key as the {scheme.get('in')} {scheme.get('name')}")
            else:
                self.notes.say(f"{name}: add your credentials, for example --header 'Authorization: Bearer ...'")


def _listed(where: str, holder: Mapping[str, Any]) -> list[Any]:
    found = holder.get("parameters") or []
    if not isinstance(found, list):
        raise ConfigError(f"{where} has another shape than OpenAPI says: its parameters are not a list")
    return found


def _preference(kind: str) -> int:
    if _is_json(kind):
        return 0
    return {_FORM: 1, _MULTIPART: 2, "text/plain": 3}.get(kind, 4)


def _is_json(kind: str) -> bool:
    plain = kind.partition(";")[0].strip().lower()
    return plain == "application/json" or plain.endswith("+json")
