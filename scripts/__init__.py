"""Thin mains: each parses its arguments and calls the library that does the work."""
