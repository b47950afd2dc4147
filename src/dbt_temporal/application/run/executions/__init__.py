"""How a run goes on in another execution of its workflow."""
