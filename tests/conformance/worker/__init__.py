"""A Temporal server and a worker in a process of their own, and the way to them."""
