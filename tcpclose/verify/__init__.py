"""The model checker of the running engine: two real connections, their users, and a network that may do its worst."""
