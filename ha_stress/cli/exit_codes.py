"""What a command tells whoever called it. Pure; which sentence goes with it is said by `failure` and `run_exit`.

0  done; of a run: passed                 1  a defect; or the command looked, and not all is well (see its help)
2  the input is wrong                     3  a server does not answer
4  a run without thresholds: some requests failed, were wrong, dropped or uncovered; or the setup of a scenario failed
5  the books do not balance               6  the results did not arrive in time
7  a threshold is broken; B is worse      8  the run is not valid: the generator was saturated, or load is missing
9  the target may not be loaded         130  interrupted; what was done until then is reported
"""

from __future__ import annotations

from typing import Final

EXIT_DONE: Final = 0
EXIT_DEFECT: Final = 1
EXIT_NOT_WELL: Final = 1
EXIT_INPUT: Final = 2
EXIT_UNAVAILABLE: Final = 3
EXIT_REQUESTS: Final = 4
EXIT_BOOKS: Final = 5
EXIT_TIMEOUT: Final = 6
EXIT_THRESHOLDS: Final = 7
EXIT_REGRESSED: Final = 7
EXIT_INVALID: Final = 8
EXIT_NOT_ALLOWED: Final = 9
EXIT_INTERRUPTED: Final = 130
