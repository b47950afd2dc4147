"""The table of all figures, the page and its plots, out of what was measured."""
