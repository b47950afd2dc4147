"""Programs that read a stored run by a tool each. They run in the tools' environment, and print JSON."""
