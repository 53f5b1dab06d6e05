"""Requests that exist elsewhere: curl command lines, HAR files, OpenAPI descriptions. Pure parsers, no I/O."""
