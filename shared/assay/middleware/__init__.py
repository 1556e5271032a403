"""What every question passes on its way to a model: guards, records, shortcuts. The order stands in `chain.py`."""
