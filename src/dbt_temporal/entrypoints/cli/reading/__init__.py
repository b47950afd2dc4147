"""How the words of our command line are read."""
