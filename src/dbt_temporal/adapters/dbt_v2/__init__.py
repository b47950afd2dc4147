"""The engine on dbt v2, the Rust program: one process of it runs a whole selection, and tells of its nodes as it goes.

Checked on dbt-fusion 2.0.0-preview.190.
"""
