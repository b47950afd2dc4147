"""Other ways to run a dbt project, each in an environment of its own, measured on the same project."""
