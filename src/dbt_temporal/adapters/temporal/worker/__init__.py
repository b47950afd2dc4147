"""The Temporal worker: its activities, its limits, its version."""
