"""How every connection in a capture was released, by whom, and why."""
