"""Values and rules of one run: its input, plan, scheduling, state and log."""
