"""The built-in scorers; `scoring/rows.py` lists them."""
