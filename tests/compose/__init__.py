"""The compose file, run without Docker: each service in a network namespace of its own."""
