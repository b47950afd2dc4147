"""What runs on dbt v2 are of: what they select, and what they do where they have no nodes of dbt's."""
