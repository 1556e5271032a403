"""Publishes bundles to Azure DevOps: pushes to a branch, and a pull request."""
