"""What people see in a terminal: tables, the ladder of a run, a run while it goes on."""
