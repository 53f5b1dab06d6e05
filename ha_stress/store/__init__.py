"""Layer 3: the task store. What the operator wants, what the master made of it, and the books, in a SQL database."""
