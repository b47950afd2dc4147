"""What happens outside while a run is in each of its phases."""
