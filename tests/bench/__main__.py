"""Runs the benchmarks named on the command line, or the quick ones: `python -m tests.bench [imports] [run]`.

`python -m tests.bench quota ...` measures how well a quota is used, and has options of its own; `rows` how much memory
datasets of 1,000,000 rows take (ten minutes), `statistics` how often intervals and tests err (five minutes),
`evaluation` how long evaluating 1,000,000 rows x 3 takes (four minutes), `early_stop` how often early stop errs and
what it saves (one minute), `report` how large a report of 20,000 trials is and how soon a browser has opened it,
`telemetry` what exporting telemetry costs a worker (four minutes),
`sealing` how long and in what memory a bundle of 500 MB is sealed, verified and published (half a minute).
"""

import sys

from tests.bench import (
    early_stop,
    evaluation,
    imports,
    report,
    rows_in,
    sealing,
    statistics_simulation,
    telemetry,
    throughput,
    whole_run,
)

BENCHMARKS = {
    "imports": imports.measure,
    "throughput": throughput.measure,
    "run": whole_run.measure,
    "rows": rows_in.measure,
    "statistics": statistics_simulation.measure,
    "evaluation": evaluation.measure,
    "early_stop": early_stop.measure,
    "report": report.measure,
    "sealing": sealing.measure,
    "telemetry": telemetry.measure,
}
QUICK = ("imports", "throughput", "run")


def main() -> None:
    if sys.argv[1:2] == ["quota"]:
        from tests.bench.quota.command import main as measure_quota

        measure_quota(sys.argv[2:])
    wanted = sys.argv[1:] or list(QUICK)
    unknown = [name for name in wanted if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"unknown benchmark: {', '.join(unknown)}. There are: {', '.join([*BENCHMARKS, 'quota'])}")
    for name in wanted:
        print(f"## {name}", flush=True)
        for figure, value in BENCHMARKS[name]().items():
            print(f"{figure:<52} {value}", flush=True)


if __name__ == "__main__":
    main()
