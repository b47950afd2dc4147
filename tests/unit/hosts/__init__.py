"""What the worker keeps of its run hosts."""
