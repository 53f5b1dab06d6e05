"""Requests that exist elsewhere: curl command lines, HAR files, OpenAPI descriptions. Pure parsers, no I/O.

curl, har, openapi   text --> `Imported`
imported             what they have in common: requests with weights, and notes on what was left out
plan                 `Imported` --> the draft of a test plan

Files that a text names are read by a function that the caller gives. Nothing here may import `api`, `cli` or `report`: what
comes out is in the words of the API, and whoever takes it checks it.
"""
