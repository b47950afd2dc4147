"""What runs keep in the artifact store: records and logs, state for successors, names of earlier runs."""
