"""Use cases, and the ports they need. Knows the domain and its own ports only."""
