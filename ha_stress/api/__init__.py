"""Layer 4: the HTTP API that every node serves. It writes intent, and reads state; it never acts as master."""
