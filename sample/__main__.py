"""Write the sample's files: `python -m sample OUTDIR`.

`python -m sample portfolios REGION OUTDIR` writes real portfolios of a region instead.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sample.export import DEFAULT_INVESTORS, DEFAULT_SEED, build_sample, write_sample
from sample.portfolios import REGIONS, import_commands, write_portfolios


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the sample and write it to the folder named on the command line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["portfolios"]:
        _write_portfolios(words[1:])
        return
    parser = argparse.ArgumentParser(prog="python -m sample", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="OUTDIR", help="folder for the files")
    parser.add_argument("--seed", type=_natural, default=DEFAULT_SEED, help="default %(default)s")
    parser.add_argument(
        "--investors", type=_natural, default=DEFAULT_INVESTORS, help="default %(default)s"
    )
    options = parser.parse_args(words)

    sys.stderr.write(f"Simulating {options.investors} investors with seed {options.seed} ...\n")
    sample = build_sample(seed=options.seed, investors=options.investors)
    for path, rows in write_sample(sample, options.directory).items():
        sys.stderr.write(f"{path}: {rows:,} rows\n")


def _write_portfolios(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m sample portfolios")
    parser.add_argument(
        "region",
        metavar="REGION",
        help=f"{', '.join(REGIONS)}, or the path that both files of a region begin with",
    )
    parser.add_argument("directory", type=Path, metavar="OUTDIR", help="folder for the files")
    options = parser.parse_args(words)
    try:
        written = write_portfolios(options.region, options.directory)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    for path, rows in written.items():
        sys.stderr.write(f"{path}: {rows:,} rows\n")
    sys.stderr.write(f"\n{import_commands(options.region, options.directory)}\n")


def _natural(text: str) -> int:
    """Read a whole number from 0; argparse names the option and the value when it is not."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative: give 0 or more")
    return number


if __name__ == "__main__":
    main()
