"""The built-in comparers; `scoring/experiments.py` lists them."""
