import csv
import gzip
import pickle
from pathlib import Path

import pytest
from filelock import FileLock

from sample.export import Sample, build_sample, write_sample

Rows = list[dict[str, str]]


@pytest.fixture(scope="session")
def sample(run_folder: Path) -> Sample:
    """The whole sample. The first process of a run that needs it builds it for all."""
    path = run_folder / "sample.pickle"
    with FileLock(run_folder / "sample.lock"):
        if not path.exists():
            path.write_bytes(pickle.dumps(build_sample()))
    stored: Sample = pickle.loads(path.read_bytes())
    return stored


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ``files`` are."""
    return tmp_path_factory.mktemp("sample")


@pytest.fixture(scope="session")
def files(sample: Sample, folder: Path) -> dict[str, Rows]:
    """Every exported file as it reads back, by name without its suffixes."""
    tables: dict[str, Rows] = {}
    for path, count in write_sample(sample, folder).items():
        tables[path.name.removesuffix(".csv.gz")] = rows = read(path)
        assert len(rows) == count
    return tables


def read(path: Path) -> Rows:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
