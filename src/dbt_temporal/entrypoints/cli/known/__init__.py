"""What is known on this machine of projects and their nodes, without dbt and without a server: for shell completion."""
