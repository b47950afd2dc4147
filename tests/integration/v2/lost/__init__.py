"""Workers and machines that are lost while dbt v2 runs for them."""
