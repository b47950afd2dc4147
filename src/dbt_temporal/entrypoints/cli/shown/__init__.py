"""What is printed of a run beside its log."""
