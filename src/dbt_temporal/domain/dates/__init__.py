"""The dates that a run is for: what a schedule meant by it, and how texts of the run's input hold them."""
