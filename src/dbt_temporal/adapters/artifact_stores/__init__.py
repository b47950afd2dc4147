"""Where artifacts are kept."""
