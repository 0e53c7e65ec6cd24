import pytest

from bench.catalogue_metrics import CatalogueMetrics, parse

pytestmark = pytest.mark.unit

PAGE = """\
# TYPE twin_catalogue_load_seconds histogram
twin_catalogue_load_seconds_bucket{le="+Inf"} 2.0
twin_catalogue_load_seconds_count 2.0
twin_catalogue_load_seconds_sum 0.5
# TYPE twin_catalogue_bytes gauge
twin_catalogue_bytes 520000.0
# TYPE twin_catalogue_properties gauge
twin_catalogue_properties 2000.0
# TYPE twin_catalogue_requests_total counter
twin_catalogue_requests_total{answer="hit"} 7.0
"""


def test_metrics_are_read_by_name() -> None:
    assert parse(PAGE) == CatalogueMetrics(
        loads=2, load_seconds=0.5, bytes=520_000, properties=2000, hits=7, misses=0
    )


def test_a_server_without_catalogues_has_none() -> None:
    assert parse("# TYPE up gauge\nup 1.0\n") == CatalogueMetrics(
        None, None, None, None, None, None
    )
