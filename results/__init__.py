"""Append-only run records; ``reference/`` holds the measured runs that ship."""
