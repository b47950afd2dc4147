"""A run as events, under dbt's names: for programs that read lines, and for levels and formats as dbt has them."""
