"""Processes of dbt v2: what they tell, how they are started and ended, and which nodes each of them runs."""
