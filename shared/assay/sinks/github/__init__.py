"""Publishes bundles to GitHub: one commit on a branch, and a pull request."""
