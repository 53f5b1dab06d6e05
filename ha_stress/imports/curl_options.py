"""Which options curl has, as far as an import needs to know: what takes a value, what only concerns curl itself."""

from __future__ import annotations

from typing import Final

#: Short names of those that are known, to their long ones.
SHORT: Final = {
    "#": "progress-bar",
    "0": "http1.0",
    "1": "tlsv1",
    "4": "ipv4",
    "6": "ipv6",
    "A": "user-agent",
    "D": "dump-header",
    "E": "cert",
    "F": "form",
    "G": "get",
    "H": "header",
    "I": "head",
    "J": "remote-header-name",
    "K": "config",
    "L": "location",
    "N": "no-buffer",
    "O": "remote-name",
    "S": "show-error",
    "T": "upload-file",
    "X": "request",
    "Y": "speed-limit",
    "Z": "parallel",
    "b": "cookie",
    "c": "cookie-jar",
    "d": "data",
    "e": "referer",
    "f": "fail",
    "g": "globoff",
    "i": "include",
    "j": "junk-session-cookies",
    "k": "insecure",
    "m": "max-time",
    "n": "netrc",
    "o": "output",
    "q": "disable",
    "r": "range",
    "s": "silent",
    "u": "user",
    "v": "verbose",
    "w": "write-out",
    "x": "proxy",
    "y": "speed-time",
}

#: What curl says of a file whose name ends so.
_TYPES: Final = {
    "gif": "image/gif",
    "htm": "text/html",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain",
    "xml": "application/xml",
}


def type_of(file: str) -> str:
    """The media type of a part that is a file, if -F says none."""
    return _TYPES.get(file.rpartition(".")[2].lower(), "application/octet-stream")


#: What changes the request, and takes a value.
WITH_VALUE: Final = frozenset(
    (
        *("request", "header", "data", "data-ascii", "data-raw", "data-binary", "data-urlencode", "json", "form"),
        *("form-string", "user", "oauth2-bearer", "cookie", "user-agent", "referer", "max-time", "range", "url"),
        *("upload-file", "url-query"),
    )
)
#: What changes the request, and takes none.
FLAGS: Final = frozenset(("get", "head", "compressed", "http2", "http2-prior-knowledge", "http1.1", "globoff"))
#: Only about curl's own output and patience; nothing of it is in the request.
IGNORED: Final = frozenset(
    (
        *("progress-bar", "no-buffer", "remote-name", "show-error", "fail", "fail-with-body", "include", "silent"),
        *("verbose", "ipv4", "ipv6", "no-progress-meter", "tcp-nodelay", "path-as-is", "disable", "styled-output"),
        *("no-keepalive", "junk-session-cookies", "remote-header-name", "create-dirs", "parallel", "tlsv1", "tlsv1.2"),
        *(
            "tlsv1.3",
            "no-alpn",
            "tcp-fastopen",
            "raw",
            "tr-encoding",
            "anyauth",
            "basic",
            "no-clobber",
        ),
    )
)
IGNORED_WITH_VALUE: Final = frozenset(
    (
        *(
            "output",
            "write-out",
            "cookie-jar",
            "connect-timeout",
            "retry",
            "retry-delay",
            "retry-max-time",
            "max-redirs",
        ),
        *("limit-rate", "speed-limit", "speed-time", "stderr", "trace", "trace-ascii", "dump-header", "keepalive-time"),
        *("output-dir", "max-filesize", "parallel-max", "expect100-timeout"),
    )
)
#: Known, and a request with it would be another one: the sentence says what to do.
REFUSED: Final = {
    "proxy": "requests go to the target itself",
    "config": "write its options out",
    "cert": "client certificates are not supported",
    "key": "client certificates are not supported",
    "http3": "HTTP/3 is not supported",
    "http3-only": "HTTP/3 is not supported",
    "http1.0": "requests are HTTP/1.1",
    "digest": "only basic authentication is supported",
    "ntlm": "only basic authentication is supported",
    "negotiate": "only basic authentication is supported",
    "aws-sigv4": "a signature cannot be sent twice",
    "netrc": "write the credentials with -u",
    "unix-socket": "the target needs an address",
    "socks5": "requests go to the target itself",
    "resolve": "write the address into the URL and the name into a Host header",
    "connect-to": "write the address into the URL and the name into a Host header",
}
#: Taken over in part.
NOTED: Final = {
    "insecure": "certificates are verified all the same: -k was left out",
    "location": "redirects are not followed, each counts as the answer it is: -L was left out",
    "location-trusted": "redirects are not followed, each counts as the answer it is: --location-trusted was left out",
}
NOTED_WITH_VALUE: Final = {"cacert": "certificates are verified with those of the system: --cacert was left out"}
