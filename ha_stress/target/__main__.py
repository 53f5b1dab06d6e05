"""`python -m ha_stress.target`: see `server`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from types import FrameType

from ha_stress.target.server import TargetServer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ha_stress.target", description="A counting HTTP/1.1 server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="answer this much later")
    parser.add_argument("--status", type=int, default=200, help="status of every answer (200 to 599)")
    parser.add_argument("--body-bytes", type=int, default=2, help="size of every answer's body")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is JSON anyway")
    options = parser.parse_args()
    if not 200 <= options.status <= 599 or options.delay_ms < 0 or not 0 <= options.body_bytes <= 1 << 24:
        parser.error("--status is 200 to 599, --delay-ms at least 0, --body-bytes at most 16777216")
    try:
        server = TargetServer(
            options.host,
            options.port,
            delay_s=options.delay_ms / 1000,
            status=options.status,
            body_bytes=options.body_bytes,
        )
    except OSError as error:
        parser.error(f"cannot listen on {options.host}:{options.port}: {error.strerror}")

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sys.stdout.write(json.dumps({"url": server.url}) + "\n")
    sys.stdout.flush()
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
