"""What people and programs meet: the command line, and what grows beside it."""
