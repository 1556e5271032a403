"""What `scripts/deploy` and `scripts/teardown` do, step by step, with the Azure CLI. Standard library only."""
