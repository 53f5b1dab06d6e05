"""HA Stress: a distributed load-testing cluster whose controller can die.

`ARCHITECTURE.md` describes the layers. A module imports only from lower layers or from its own package.
"""

__version__ = "0.1.0"
