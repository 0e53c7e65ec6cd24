import csv
import gzip
from pathlib import Path

import pytest

from sample.export import Sample, build_sample, write_sample

Rows = list[dict[str, str]]


@pytest.fixture(scope="session")
def sample() -> Sample:
    return build_sample()


@pytest.fixture(scope="session")
def files(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rows]:
    """Every exported file as it reads back, by name without its suffixes."""
    tables: dict[str, Rows] = {}
    for path, count in write_sample(sample, tmp_path_factory.mktemp("sample")).items():
        tables[path.name.removesuffix(".csv.gz")] = rows = read(path)
        assert len(rows) == count
    return tables


def read(path: Path) -> Rows:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
