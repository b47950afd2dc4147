"""The run as a Temporal workflow. All of it is workflow code."""
