"""The run: deterministic, written once for every runtime. It imports no port of engine, store or source."""
