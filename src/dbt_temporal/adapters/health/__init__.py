"""How others learn that the worker lives: a file that it touches, and an HTTP server."""
