"""How a Temporal server is reached, and what its namespace has."""
