"""What a machine relies on, asked of whoever decides it: each assumption with what was found, and what to do."""
