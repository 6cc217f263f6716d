"""Hostile input for the public surface: byte strings become calls, and an oracle judges how each ends."""
