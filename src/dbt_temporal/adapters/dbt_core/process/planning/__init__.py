"""What a run executes: dbt's tasks, selection and state."""
