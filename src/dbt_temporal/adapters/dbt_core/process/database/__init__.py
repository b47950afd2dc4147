"""Sessions in the database: whose they are, how they end, what their errors mean."""
