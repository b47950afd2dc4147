"""Commands for operators: what is done about runs that are there already."""
