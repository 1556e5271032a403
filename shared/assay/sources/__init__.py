"""Rows in: reads a dataset file into rows and bad rows."""
