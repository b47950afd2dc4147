"""Fakes of ports. Those whose ports have contract tests pass them."""
