"""Judges: plugins that have another model judge answers."""
