"""The benchmarks' arithmetic, tables, page and plots."""
