"""Does the work: trials, retries, checkpoints."""
