"""`python -m sentinel ...` is `ha-stress sentinel ...`."""

from __future__ import annotations

import sys

from ha_stress.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["sentinel", *sys.argv[1:]]))
