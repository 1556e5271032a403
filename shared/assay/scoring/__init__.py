"""Judges outcomes: scores per trial, metrics per experiment, comparisons with the baseline."""
