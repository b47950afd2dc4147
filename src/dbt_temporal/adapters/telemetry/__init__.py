"""What a worker tells of itself in its log."""
