"""What runs keep of Jinja's `graph`."""
