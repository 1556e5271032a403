"""Asks models: the port, its adapters, prices and the error taxonomy."""
