"""The built-in aggregators; `scoring/experiments.py` lists them."""
