"""Delivers a sealed bundle."""
