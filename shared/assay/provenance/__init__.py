"""Proves what a run produced: manifest, signature, and their verification without Azure."""
