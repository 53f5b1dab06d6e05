"""Drivers: what the roles of a node do, by kind of work. `interface` is what they share, `registry` finds them by name."""
