"""Counters in the text format of Prometheus (exposition format 0.0.4)."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping

#: Upper bounds of the histograms, seconds.
BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)
#: Counters: what the label is called, and help.
COUNTERS = {
    "jobs": ("status", "Jobs that ended, by how."),
    "refused": ("reason", "Requests that were refused, by status code."),
    "worker_deaths": ("role", "Worker processes that ended unexpectedly."),
    "streams": ("end", "Conversations, by how they ended."),
    "upload_bytes": ("what", "Bytes received in uploads."),
}
HISTOGRAMS = {
    "job_seconds": "Seconds from a job's start to its end.",
    "wait_seconds": "Seconds that a job waited.",
}
GAUGES = {"jobs_now": ("status", "Jobs by status."), "streams_now": ("", "Conversations now.")}


class Metrics:
    """What happened since the process started. Methods may be called from several threads."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._values: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * (len(BUCKETS) + 2))

    def count(self, name: str, label: str, amount: int = 1) -> None:
        """Add to a counter of COUNTERS."""
        with self._mutex:
            self._counts[name, label] += amount

    def observe(self, name: str, kind: str, seconds: float) -> None:
        """Add a value to a histogram of HISTOGRAMS."""
        with self._mutex:
            values = self._values[name, kind]
            for i, bound in enumerate(BUCKETS):
                values[i] += seconds <= bound
            values[-2] += 1
            values[-1] += seconds

    def text(self, jobs: Mapping[str, int], streams: int) -> str:
        """All metrics; ``jobs`` by status and the number of conversations are those of now."""
        lines: list[str] = []
        with self._mutex:
            for name, (label, text) in COUNTERS.items():
                lines += _head(f"{name}_total", "counter", text)
                found = sorted((key[1], n) for key, n in self._counts.items() if key[0] == name)
                lines += [f'emotalker_{name}_total{{{label}="{value}"}} {n}' for value, n in found]
            for name, text in HISTOGRAMS.items():
                lines += _head(name, "histogram", text)
                for (_, kind), values in sorted(item for item in self._values.items() if item[0][0] == name):
                    bounds = [*map(str, BUCKETS), "+Inf"]
                    for bound, n in zip(bounds, values, strict=False):
                        lines.append(f'emotalker_{name}_bucket{{kind="{kind}",le="{bound}"}} {n:g}')
                    lines.append(f'emotalker_{name}_sum{{kind="{kind}"}} {values[-1]:.6f}')
                    lines.append(f'emotalker_{name}_count{{kind="{kind}"}} {values[-2]:g}')
        lines += _head("jobs_now", "gauge", GAUGES["jobs_now"][1])
        lines += [f'emotalker_jobs_now{{status="{status}"}} {jobs.get(status, 0)}' for status in _STATUSES]
        lines += _head("streams_now", "gauge", GAUGES["streams_now"][1])
        return "\n".join([*lines, f"emotalker_streams_now {streams}", ""])


_STATUSES = ("queued", "running", "done", "failed")


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP emotalker_{name} {text}", f"# TYPE emotalker_{name} {kind}"]
