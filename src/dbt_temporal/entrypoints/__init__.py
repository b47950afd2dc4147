"""Programs: settings, the container that wires adapters to ports, and the command line."""
