"""How well a quota is used, by Assay and by what else there is: `make bench-quota`, docs/benchmarks.md."""
