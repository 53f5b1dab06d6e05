"""One script a schema version, numbered."""
