"""Publishes results into the tables of a database."""
