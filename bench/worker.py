"""One pass of the engine in a program of its own, which says how much memory it took."""

import json
import resource

import django


def main() -> None:
    django.setup()
    from bench.scene import NOW
    from pipelines.engine.clock import pretend
    from pipelines.engine.tick import process_due_runs

    with pretend(NOW):
        report = process_due_runs(budget_seconds=3_600)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"runs": report.runs, "peak_mib": peak}))


if __name__ == "__main__":
    main()
