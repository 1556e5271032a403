"""What was asked: suite models and their loading."""
