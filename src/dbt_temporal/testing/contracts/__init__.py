"""What adapters of a port promise, as tests that each of them passes, and its fake too."""
