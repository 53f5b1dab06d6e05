"""Layer 1: what travels between processes, and its encoding. Pure."""
