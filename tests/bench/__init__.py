"""Benchmarks: `make bench`. They print what they measure and pass no judgement."""
