"""May we ask now: limiters that share a deployment's quota."""
