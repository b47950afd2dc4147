"""A module for each figure: what it is given, what it measures, and the rows of the table that come of it."""
