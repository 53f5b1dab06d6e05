"""The least that can be done: one blocking socket sends one request at a time on a schedule. The engine is held against it.

    python -m bench.load_socket URL RATE SECONDS

No parser, no check, no books, no timeouts: sleep until the next request is due, send it, read the answer, note how long
after its schedule that was. Its waits are as precise as the engine's (see `ha_stress.engines.child.TIMER_SLACK_NS`). Prints
one JSON document.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from ha_stress.engines.child import TIMER_SLACK_NS

TIMEOUT_S = 10.0
LEAD_S = 0.2


def run(url: str, rate: float, seconds: float) -> dict[str, float | int]:
    """Send rate * seconds requests; what came of them."""
    parts = urlsplit(url)
    request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    with suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text(str(TIMER_SLACK_NS))
    latencies_s = []
    count = round(rate * seconds)
    with socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(None)  # a timeout would cost one more system call a request
        began = time.monotonic() + LEAD_S
        for number in range(count):
            due = began + number / rate
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            sock.send(request)
            if not sock.recv(65_536):
                raise SystemExit("error: the server closed the connection")
            latencies_s.append(time.monotonic() - due)
        took = time.monotonic() - began
    latencies_s.sort()
    return {
        "completed": count,
        "seconds": round(took, 3),
        "dropped": 0,
        "p50_us": round(latencies_s[count // 2] * 1e6),
        "p99_us": round(latencies_s[count * 99 // 100] * 1e6),
        "max_us": round(latencies_s[-1] * 1e6),
    }


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))))
