"""Layer 3: the coordination bus in Redis or Valkey. The only package that knows redis-py."""
