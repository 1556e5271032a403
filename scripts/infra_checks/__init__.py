"""Checks of infra/ that need neither Azure nor the Bicep compiler. `infra_check.py` runs them."""
