"""What the application needs of the world, as protocols that adapters implement."""
