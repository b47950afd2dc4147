"""Project parents: what a parse depends on, and the processes that hold parsed projects."""
