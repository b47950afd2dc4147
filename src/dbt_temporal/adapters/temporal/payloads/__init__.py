"""How values become payloads: compressed, encrypted, readable for the UI."""
