"""Layer 3: a counting HTTP/1.1 server for demonstrations and tests; the other end of exact books."""
