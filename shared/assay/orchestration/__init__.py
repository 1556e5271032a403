"""Knows the order: ingest, plan, dispatch, watch, evaluate, report, seal, publish."""
