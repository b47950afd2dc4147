"""What a run says of itself, as people read it."""
