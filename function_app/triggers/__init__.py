"""One module per family of triggers."""
