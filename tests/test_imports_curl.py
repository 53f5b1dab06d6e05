"""Import of curl command lines: as they stand in documentation, and as browsers copy them."""

from __future__ import annotations

import base64

import pytest

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import REQUESTS_MAX, WEIGHT_MAX
from ha_stress.imports.curl import requests_of
from ha_stress.imports.imported import Imported, ImportedRequest, merged
from ha_stress.imports.words import split_words

FILES = {
    "body.json": b'{"a": 1}\n',
    "lines.txt": b"a=1\r\n&b=2\n",
    "photo.png": b"\x89PNG\xff",
    "h.txt": b"X-A: 1\nX-B: 2\n",
}


def read(name: str) -> bytes:
    if name not in FILES:
        raise ConfigError(f"{name}: No such file or directory")
    return FILES[name]


def curl(command: str) -> ImportedRequest:
    (request,) = requests_of(command, read).requests
    return request


def header(request: ImportedRequest, name: str) -> list[str]:
    return [value for key, value in request.headers if key.lower() == name.lower()]


FROM_CHROME = r"""curl 'https://shop.example.org/api/cart?lang=en&cur=EUR' \
  -H 'accept: application/json, text/plain, */*' \
  -H 'accept-language: en-GB,en;q=0.9' \
  -H 'content-type: application/json' \
  -b 'session=abc; theme=dark' \
  -H 'origin: https://shop.example.org' \
  -H 'sec-ch-ua: "Chromium";v="124", "Not-A.Brand";v="99"' \
  -H 'user-agent: Mozilla/5.0 (X11; Linux x86_64)' \
  --data-raw $'{"note":"it\'s caf\u00e9\\n","n":2}' \
  --compressed --insecure"""

FROM_FIREFOX = (
    "curl 'https://example.org/login' --compressed -X POST -H 'User-Agent: Mozilla/5.0' "
    "-H 'Content-Type: application/x-www-form-urlencoded' -H 'Referer: https://example.org/' "
    "-H 'Upgrade-Insecure-Requests: 1' --data-raw 'user=ann&password=a%26b'"
)


def test_a_command_that_chrome_copied_is_the_request_that_chrome_sent() -> None:
    found = requests_of(FROM_CHROME, read)
    (request,) = found.requests
    assert request.url == "https://shop.example.org/api/cart?lang=en&cur=EUR"
    assert request.method == "POST"
    assert request.body == '{"note":"it\'s café\\n","n":2}'.encode()
    assert header(request, "content-type") == ["application/json"]
    assert header(request, "cookie") == ["session=abc; theme=dark"]
    assert header(request, "sec-ch-ua") == ['"Chromium";v="124", "Not-A.Brand";v="99"']
    assert header(request, "accept-encoding") == ["gzip, deflate"]
    assert ["-k" in note for note in found.notes] == [True]


def test_a_command_that_firefox_copied_is_the_request_that_firefox_sent() -> None:
    request = curl(FROM_FIREFOX)
    assert (request.method, request.body) == ("POST", b"user=ann&password=a%26b")
    assert header(request, "content-type") == ["application/x-www-form-urlencoded"]


@pytest.mark.parametrize(
    ("command", "method", "url"),
    [
        ("curl example.org", "GET", "http://example.org/"),
        ("$ curl -sSfL -o /dev/null https://example.org/a#part", "GET", "https://example.org/a"),
        ("curl -I https://example.org/a", "HEAD", "https://example.org/a"),
        ("/usr/bin/curl -XDELETE https://example.org/a/1", "DELETE", "https://example.org/a/1"),
        ("curl -G -d a=1 -d 'b=x y' https://example.org/s?z=0", "GET", "https://example.org/s?z=0&a=1&b=x%20y"),
        ("curl --get --data-urlencode 'q=ü & co' http://h/s", "GET", "http://h/s?q=%C3%BC+%26+co"),
        ("curl --url-query a=b&c http://h/", "GET", "http://h/?a=b%26c"),
        ("curl -w '%{http_code}' --url http://h:8080/x --max-time 3", "GET", "http://h:8080/x"),
        ("curl -T body.json http://h/up", "PUT", "http://h/up"),
        ("curl http://[::1]:8080/a?b=1&c=2", "GET", "http://[::1]:8080/a?b=1&c=2"),
        ("curl -g 'http://h/{a,b}'", "GET", "http://h/%7Ba,b%7D"),
        ("curl 'http://h/grüße'", "GET", "http://h/gr%C3%BC%C3%9Fe"),
    ],
)
def test_method_and_url_are_those_that_curl_would_use(command: str, method: str, url: str) -> None:
    request = curl(command)
    assert (request.method, request.url) == (method, url)


@pytest.mark.parametrize(
    ("options", "body", "kind"),
    [
        ("-d a=1 -d b=2", b"a=1&b=2", ["application/x-www-form-urlencoded"]),
        ("-d @lines.txt", b"a=1&b=2", ["application/x-www-form-urlencoded"]),
        ("--data-binary @lines.txt", b"a=1\r\n&b=2\n", ["application/x-www-form-urlencoded"]),
        ("--data-raw @lines.txt", b"@lines.txt", ["application/x-www-form-urlencoded"]),
        ("-d @body.json -H 'Content-Type: application/json'", b'{"a": 1}', ["application/json"]),
        ("-d x -H 'Content-Type:'", b"x", []),
        ("--json @body.json", b'{"a": 1}\n', ["application/json"]),
        ("--json '{\"a\":' --json '1}'", b'{"a":1}', ["application/json"]),
        ("--data-urlencode 'a=1+1' --data-urlencode b@lines.txt", b"a=1%2B1&b=a%3D1%0D%0A%26b%3D2%0A", None),
        ("-T body.json", b'{"a": 1}\n', []),
    ],
)
def test_bodies_are_put_together_as_curl_does_it(options: str, body: bytes, kind: list[str] | None) -> None:
    request = curl(f"curl {options} http://h/")
    assert request.body == body
    if kind is not None:
        assert header(request, "content-type") == kind


def test_a_form_is_multipart_with_its_files_and_the_same_each_time() -> None:
    files = "-F 'photo=@photo.png;type=image/png' -F 'text=<body.json'"
    command = f"curl http://h/ -F 'title=A \"b\"' {files} --form-string 'at=@x'"
    request = curl(command)
    kind, boundary = header(request, "content-type")[0].split("; boundary=")
    assert (request.method, kind) == ("POST", "multipart/form-data")
    parts = request.body.split(f"--{boundary}".encode())
    assert parts[0] == b"" and parts[-1] == b"--\r\n"
    assert parts[1] == b'\r\nContent-Disposition: form-data; name="title"\r\n\r\nA "b"\r\n'
    assert b'name="photo"; filename="photo.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\xff\r\n' in parts[2]
    assert parts[3].endswith(b'name="text"\r\n\r\n{"a": 1}\n\r\n')
    assert parts[4].endswith(b"\r\n\r\n@x\r\n")
    assert curl(command) == request
    assert "body_base64" in request.to_api()


def test_credentials_agent_referer_cookies_and_ranges_become_headers() -> None:
    request = curl(
        "curl -u ann:secret -A 'me/1' -e 'http://r/;auto' -b a=1 -b b=2 -r 0-99 -H @h.txt http://h/ -H 'X-E;'"
    )
    assert header(request, "authorization") == ["Basic " + base64.b64encode(b"ann:secret").decode()]
    assert (header(request, "user-agent"), header(request, "referer")) == (["me/1"], ["http://r/"])
    assert (header(request, "cookie"), header(request, "range")) == (["a=1; b=2"], ["bytes=0-99"])
    assert (header(request, "x-a"), header(request, "x-b"), header(request, "x-e")) == (["1"], ["2"], [""])
    assert header(curl("curl --oauth2-bearer t http://h/"), "authorization") == ["Bearer t"]
    in_url = curl("curl http://ann:p%40ss@h/")
    assert (in_url.url, header(in_url, "authorization")) == ("http://h/", ["Basic YW5uOnBAc3M="])


def test_a_user_in_a_url_without_a_password_has_an_empty_one() -> None:
    for command, sent in (("curl http://bob@h/", b"bob:"), ("curl http://a%3Ab@h/", b"a:b:"), ("curl -u a: h", b"a:")):
        assert header(curl(command), "authorization") == ["Basic " + base64.b64encode(sent).decode()]


def test_what_only_concerns_curl_itself_is_left_out_by_its_short_name_too() -> None:
    plain = curl("curl http://h/")
    assert curl("curl -1JZ -D head.txt -y 5 -Y 10 -m 0 http://h/") == plain, "and 0 is no limit to curl"
    found = requests_of("curl --location-trusted http://h/", read)
    assert found.requests == (plain,)
    assert found.notes == (
        "redirects are not followed, each counts as the answer it is: --location-trusted was left out",
    )


def test_an_explicit_header_wins_over_what_an_option_would_add() -> None:
    request = curl("curl -u a:b -H 'authorization: Bearer x' --json '{}' -H 'Accept: text/html' http://h/")
    assert header(request, "authorization") == ["Bearer x"]
    assert header(request, "accept") == ["text/html"]


def test_several_urls_and_next_are_several_requests_and_equal_ones_have_a_weight() -> None:
    found = requests_of("curl http://h/a http://h/b http://h/a --http2 --next -d x http://h/c -m 2.5", read)
    assert [(one.method, one.url, one.weight, one.http2, one.timeout_s) for one in found.requests] == [
        ("GET", "http://h/a", 2, True, None),
        ("GET", "http://h/b", 1, True, None),
        ("POST", "http://h/c", 1, False, 2.5),
    ]
    assert found.to_api()[2] == {
        "url": "http://h/c",
        "method": "POST",
        "headers": [["Content-Type", "application/x-www-form-urlencoded"]],
        "body": "x",
        "timeout_s": 2.5,
    }


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("wget http://h/", "begins with the word curl"),
        ("", "begins with the word curl"),
        ("curl", "names no URL"),
        ("curl --frobnicate http://h/", "--frobnicate is not known"),
        ("curl -ZQ3 http://h/", "-Q is not known"),
        ("curl -x proxy:1 http://h/", "requests go to the target itself"),
        ("curl --http3 http://h/", "HTTP/3"),
        ("curl http://h/ -H", "-H needs a value"),
        ("curl -H nonsense http://h/", "not a header"),
        ("curl -b cookies.txt http://h/", "cookie file"),
        ("curl -d @missing http://h/", "missing: No such file"),
        ("curl -d a -F b=c http://h/", "several bodies"),
        ("curl -F nothing http://h/", "-F name=value"),
        ("curl ftp://h/", "http:// or https://"),
        ("curl 'http://[/'", "cannot be read"),
        ("curl http://h:99999/", "cannot be read"),
        ("curl 'http://h/{a,b}'", "several URLs"),
        ("curl 'http://h/[1-3]'", "several URLs"),
        ("curl 'http://h/", "a quote is not closed"),
        ("curl http://h/ | jq .", "leave out '|'"),
        ("curl -m never http://h/", "not a number of seconds"),
        ("curl -m -1 http://h/", "not a number of seconds"),
        ("curl -u bob http://h/", "write -u bob:PASSWORD"),
        ("curl http://h/ -d $'\\ud83d'", "half of a character"),
        ("curl http://h/ -d \udcff", "not UTF-8 text"),
        ('curl "http://h/x" ^\n -H "A: b"', "Copy as cURL (bash)"),
        ('curl ^"http://h/x^" ^\r\n -H ^"A: b^"', "Copy as cURL (bash)"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_one_sentence(command: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        requests_of(command, read)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_character_beyond_16_bits_may_be_written_as_two_escapes() -> None:
    (request,) = requests_of("curl http://h/ -d $'\\ud83d\\ude00 \\U0001F600'", read).requests
    assert request.body.decode() == "\U0001f600 \U0001f600"


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("curl -T a/cart.json http://h/put/", "http://h/put/cart.json"),
        ("curl -T cart.json h", "http://h/cart.json"),
        ("curl -T cart.json 'http://h/put/?a=b'", "http://h/put/cart.json?a=b"),
        ("curl -T 'my cart' http://h/", "http://h/my%20cart"),
        ("curl -T cart.json http://h/put", "http://h/put"),
        ("curl -T - http://h/put/", "http://h/put/"),
    ],
)
def test_an_upload_into_a_directory_has_the_name_of_the_file(command: str, url: str) -> None:
    (request,) = requests_of(command, lambda name: name.encode()).requests
    assert (request.method, request.url) == ("PUT", url)


def test_a_file_of_a_form_has_the_type_that_curl_gives_it() -> None:
    files = {"a.png": b"image/png", "b.TXT": b"text/plain", "c.bin": b"application/octet-stream", "d": b"/octet-stream"}
    for name, kind in files.items():
        (request,) = requests_of(f"curl -F x=@{name} http://h/", lambda _: b"").requests
        assert kind in request.body


def test_words_are_split_as_bash_does_it() -> None:
    assert split_words(r"""a'b c'"d\"e\x" f\ g $HOME "" $'\x41\101\t\'' 'x|y'""") == [
        'ab cd"e\\x',
        "f g",
        "$HOME",
        "",
        "AA\t'",
        "x|y",
    ]
    assert split_words("a \\\n b") == ["a", "b"]


def test_weights_keep_their_proportion_and_too_many_requests_are_refused() -> None:
    one, two = ImportedRequest(url="http://h/1", weight=3 * WEIGHT_MAX), ImportedRequest(url="http://h/2", weight=1500)
    assert [request.weight for request in merged([one, two])] == [WEIGHT_MAX, 500]
    with pytest.raises(ConfigError, match="different requests"):
        merged(ImportedRequest(url=f"http://h/{n}") for n in range(REQUESTS_MAX + 1))


def test_headers_can_be_given_to_every_imported_request() -> None:
    found = Imported(requests=(ImportedRequest(url="http://h/", headers=(("A", "1"), ("authorization", "old"))),))
    (request,) = found.with_headers([("Authorization", "new")]).requests
    assert request.headers == (("A", "1"), ("Authorization", "new"))
