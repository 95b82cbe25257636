"""The counters of a mount for Prometheus. Owns ``prometheus_client``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from regfs.observe.counters import Activity


class MountCollector(Collector):
    """Metrics of one mount. No label has a path, a name or an address.

    :param handles: returns the number of open files
    """

    def __init__(self, activity: Activity, handles: Callable[[], int]) -> None:
        self._activity = activity
        self._handles = handles

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics now."""
        counts = self._activity.counts()
        yield CounterMetricFamily("regfs_cache_hits", "Opened blobs that were in the cache", value=counts.hits)
        yield CounterMetricFamily("regfs_cache_misses", "Opened blobs that were not in the cache", value=counts.misses)
        yield CounterMetricFamily("regfs_cache_read_bytes", "Bytes read from blobs in the cache", value=counts.cached)
        yield CounterMetricFamily("regfs_received_bytes", "Bytes of blobs received", value=counts.received)
        yield CounterMetricFamily("regfs_sent_bytes", "Bytes sent in bodies of requests", value=counts.sent)
        yield CounterMetricFamily("regfs_pushed_files", "Files that the registry accepted", value=counts.pushed)
        yield GaugeMetricFamily("regfs_open_handles", "Open files", value=self._handles())
        yield GaugeMetricFamily("regfs_pushes_in_progress", "Pushes under way", value=len(self._activity.pushes()))
        yield from self._requests()

    def _requests(self) -> Iterator[Metric]:
        labels = ["method", "kind", "result"]
        number = CounterMetricFamily("regfs_requests", "Requests to the registry", labels=labels)
        seconds = CounterMetricFamily("regfs_request_seconds", "Seconds until the answers to requests", labels=labels)
        for item in self._activity.requests():
            number.add_metric([item.method, item.kind, item.result], item.count)
            seconds.add_metric([item.method, item.kind, item.result], item.seconds)
        yield from (number, seconds)


@contextmanager
def served(address: tuple[str, int], activity: Activity, handles: Callable[[], int]) -> Iterator[None]:
    """Serve the metrics of a mount over HTTP as long as the context lasts.

    :param address: host and port
    :raises OSError: if the port cannot be opened
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(MountCollector(activity, handles))
    server, thread = start_http_server(address[1], address[0], registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
