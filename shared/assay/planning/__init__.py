"""What will be done: rows, chunks and prompts."""
