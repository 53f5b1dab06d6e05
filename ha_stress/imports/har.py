"""HAR files (HTTP Archive 1.2), as browsers and proxies record them. Pure.

Equal requests become one, with a weight. Left out: what is not HTTP, what belongs to one connection, and (unless they are
asked for) cookies, which are somebody's session.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from ha_stress.base.errors import ConfigError
from ha_stress.imports.imported import HOP_BY_HOP, MALFORMED, URL_SAFE, Imported, ImportedRequest, Notes, merged
from ha_stress.imports.multipart import Part, encoded
from ha_stress.tasks.protocols import HTTP
from ha_stress.tasks.request_names import clean, name_of_step

#: What a page is decorated with, by the media type of the answer.
STATIC: Final = ("image/", "font/", "video/", "audio/", "text/css", "text/javascript", "application/javascript")


def requests_of(
    text: str | bytes,
    *,
    hosts: Collection[str] = (),
    cookies: bool = False,
    static: bool = True,
    http2: bool = False,
) -> Imported:
    """`hosts` keeps only requests to these ("*.example.org": to all below it); `cookies` keeps their cookies, `static`
    images, fonts, styles and scripts; `http2` sends by HTTP/2 what was recorded so. ConfigError is one sentence."""
    notes = Notes()
    skipped = {"to other hosts": 0, "that are not HTTP": 0, "for images, fonts, styles and scripts": 0}
    requests = []
    for number, entry in enumerate(_entries(text), 1):
        where = f"entry {number}"
        try:
            why = _why_left_out(entry, where, hosts, static)
            if why:
                skipped[why] += 1
            else:
                request = _object(entry, "request", where)
                requests.append(_request(request, where, cookies=cookies, http2=http2, notes=notes))
        except MALFORMED as error:
            raise ConfigError(f"{where} of the HAR file has another shape than the format says: {error}") from None
    for what, count in skipped.items():
        if count:
            notes.say(f"{count} request{'s' * (count != 1)} {what} left out")
    if not requests:
        raise ConfigError("the HAR file has no request that can be sent" + "".join(f"; {note}" for note in notes.all()))
    return Imported(requests=merged(_named(requests)), notes=notes.all())


def _named(requests: Sequence[ImportedRequest]) -> Iterator[ImportedRequest]:
    """Recorded paths have ids in them: requests that differ only in those are counted under one name."""
    urls = [urlsplit(request.url) for request in requests]
    several = len({url.netloc for url in urls}) > 1
    for request, url in zip(requests, urls, strict=True):
        name = name_of_step(request.method, url.path, url.netloc if several else "")
        yield replace(request, name=clean(name)) if url.path not in name else request


def _why_left_out(entry: Mapping[str, Any], where: str, hosts: Collection[str], static: bool) -> str:
    parts = _parts(str(_object(entry, "request", where).get("url", "")))
    if parts is None:
        return "that are not HTTP"
    if hosts and not any(_fits(parts, host) for host in hosts):
        return "to other hosts"
    return "" if static or not _is_static(entry) else "for images, fonts, styles and scripts"


def _entries(text: str | bytes) -> list[Mapping[str, Any]]:
    try:
        document = json.loads(text.removeprefix(b"\xef\xbb\xbf") if isinstance(text, bytes) else text)
        entries = document["log"]["entries"]
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not a HAR file: it is not JSON ({error})") from None
    except (KeyError, TypeError):
        raise ConfigError("not a HAR file: it has no log.entries") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError("not a HAR file: log.entries is not a list of objects")
    return entries


def _object(parent: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    found = parent.get(name)
    if not isinstance(found, dict):
        raise ConfigError(f"{where} of the HAR file has no {name}")
    return found


def _parts(url: str) -> tuple[str, str] | None:
    """(host, host:port) of what can be loaded."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in HTTP or not parts.hostname:
        return None
    return parts.hostname, f"{parts.hostname}:{port or (443 if parts.scheme == 'https' else 80)}"


def _fits(place: tuple[str, str], wanted: str) -> bool:
    wanted = wanted.lower()
    return wanted in place or (wanted.startswith("*.") and place[0].endswith(wanted[1:]))


def _is_static(entry: Mapping[str, Any]) -> bool:
    response = entry.get("response")
    content = response.get("content") if isinstance(response, dict) else None
    kind = str(content.get("mimeType", "")) if isinstance(content, dict) else ""
    return kind.lower().startswith(STATIC)


def _request(request: Mapping[str, Any], where: str, *, cookies: bool, http2: bool, notes: Notes) -> ImportedRequest:
    headers, kind = [], ""
    for name, value in _pairs(request.get("headers"), where):
        plain = name.lower()
        if plain.startswith(":") or plain in HOP_BY_HOP:
            continue
        if plain == "cookie" and not cookies:
            notes.say("cookies left out: keep them with --cookies")
            continue
        if plain == "content-type":
            kind = value
        headers.append((name, value))
    body, made = _body(request, where, kind)
    if made:
        headers = [(name, value) for name, value in headers if name.lower() != "content-type"]
        headers.append(("Content-Type", made))
    url = str(request["url"]).partition("#")[0]
    return ImportedRequest(
        url=quote(url, safe=URL_SAFE),
        method=str(request.get("method", "GET")).upper(),
        headers=tuple(headers),
        body=body,
        http2=http2 and str(request.get("httpVersion", "")).lower() in ("h2", "http/2", "http/2.0"),
    )


def _pairs(found: Any, where: str) -> Iterator[tuple[str, str]]:
    for one in found or ():
        if not isinstance(one, dict) or "name" not in one:
            raise ConfigError(f"{where} of the HAR file has a header or parameter without a name")
        yield str(one["name"]), str(one.get("value") or "")


def _body(request: Mapping[str, Any], where: str, kind: str) -> tuple[bytes, str]:
    """The body, and its media type if it had to be made anew."""
    posted = request.get("postData")
    if not isinstance(posted, dict):
        return b"", ""
    text = str(posted.get("text") or "")
    media = str(posted.get("mimeType") or kind)
    if text:
        if posted.get("encoding") == "base64" or posted.get("_encoding") == "base64":
            try:
                return b64decode(text, validate=True), "" if kind else media
            except ValueError:
                raise ConfigError(f"{where} of the HAR file has a body that is not base64") from None
        return text.encode("utf-8", "surrogatepass"), "" if kind else media
    params = [one for one in posted.get("params") or () if isinstance(one, dict)]
    if not params:
        return b"", ""
    if media.startswith("multipart/"):
        made, body = encoded([_part(one) for one in params])
        return body, made
    return urlencode(list(_pairs(params, where))).encode(), "" if kind else "application/x-www-form-urlencoded"


def _part(one: Mapping[str, Any]) -> Part:
    """A file's content is rarely recorded; its name and type are."""
    filename = one.get("fileName")
    return Part(
        name=str(one.get("name", "")),
        data=str(one.get("value") or "").encode("utf-8", "replace"),
        filename=None if filename is None else str(filename),
        kind=str(one.get("contentType") or ""),
    )
