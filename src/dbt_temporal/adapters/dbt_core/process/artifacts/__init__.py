"""Records of nodes, and the artifacts that dbt makes of them."""
