"""Assay: LLM experiments as a batch job in your own Azure subscription."""

__version__ = "0.1.0"
