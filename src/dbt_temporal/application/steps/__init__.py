"""What the steps of a run carry out, and the messages between them and the run."""
