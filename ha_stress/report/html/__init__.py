"""A run as one HTML page: everything in it, nothing loaded from elsewhere. Pure."""
