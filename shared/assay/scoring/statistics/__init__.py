"""Intervals, paired tests, effect sizes and their kin: arrays in, frozen results out. Only the evaluation imports them.

SciPy and statsmodels do the arithmetic. Values are finite (missing ones are the caller's to count) and a difference is
variant minus baseline. Too few or constant values are a result without a p-value and with a reason, never an error.
"""
