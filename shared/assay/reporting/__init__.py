"""Shows what came out: contents first, formats second."""
