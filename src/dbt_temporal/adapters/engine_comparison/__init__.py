"""What the comparison of two engines writes for dbt and reads from it: profiles, and a project of analyses."""
