"""Layer 3: the websocket mesh between sentinels and nodes. The only package that knows trio-websocket."""
