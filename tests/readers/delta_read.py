"""Reads a Delta Lake table of candles as its users do, with delta-rs, DuckDB and pandas, and holds it against a CSV.

Usage: delta_read.py TABLE EXPECTED.csv APP [--partial]

TABLE is the folder of the Delta table, EXPECTED.csv as for duckdb_read.py, APP the id of the job's transactions. Each version
of the table must have all files of the version before it, and know the epoch of its newest file as the last
transaction; no row may be there twice, which is looked at in the newest version and in some of the others. With --partial, while the job is killed again and again, candles may still be missing in the end.
Exit status: 0 all holds, 1 not, with the first differences.
"""

import argparse
import datetime
import re
import sys

import duckdb
from deltalake import DeltaTable
from duckdb_read import COLUMNS, SHOWN, differences, expected_rows

SAMPLES = 20  # versions whose rows are read
EPOCH = re.compile(r"-(\d{10})-\d{3}\.parquet$")


def rows_of(table):
    """The rows of one version of the table through DuckDB, over the dataset that delta-rs makes of it."""
    dataset = table.to_pyarrow_dataset()
    columns = ["day AS date" if name == "date" else name for name in COLUMNS]
    for name in ("window_start", "window_end"):
        columns[columns.index(name)] = f"{name} AT TIME ZONE 'UTC' AS {name}"
    connection = duckdb.connect()
    connection.register("candles", dataset)
    return connection.execute(f"SELECT {', '.join(columns)} FROM candles").fetchall()


def epoch_of(table):
    """The epoch of the newest file of a version; None of one without files."""
    epochs = [int(EPOCH.search(path).group(1)) for path in table.file_uris()]
    return max(epochs, default=None)


def history(path, app):
    """What is wrong with a version of the table, and the rows of the last one."""
    wrong, before = [], set()
    newest = DeltaTable(path).version()
    for version in range(newest + 1):
        table = DeltaTable(path, version=version)
        files = set(table.file_uris())
        if before - files:
            wrong.append(f"version {version}: {len(before - files)} files of the version before are gone")
        known, written = table.transaction_version(app), epoch_of(table)
        if known != written:
            wrong.append(f"version {version}: transaction {known}, and the newest file is of epoch {written}")
        before = files
        if version == newest or version % (newest // SAMPLES + 1) == 0:
            rows = rows_of(table)
            twice = len(rows) - len({row[:2] for row in rows})
            if twice:
                wrong.append(f"version {version}: {twice} rows are there twice")
    return wrong, rows, newest


def by_pandas(path):
    """The newest version's rows through pandas."""
    frame = DeltaTable(path).to_pandas().rename(columns={"day": "date"})[COLUMNS]
    for name in ("window_start", "window_end"):
        frame[name] = frame[name].dt.tz_convert(None).astype("datetime64[us]").astype(object)
    return list(frame.itertuples(index=False, name=None))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("expected")
    parser.add_argument("app")
    parser.add_argument("--partial", action="store_true", help="candles may be missing")
    arguments = parser.parse_args()

    expected = expected_rows(arguments.expected, datetime.timedelta(minutes=1))
    if not expected:
        sys.exit(f"{arguments.expected} holds no row")
    wrong, rows, newest = history(arguments.table, arguments.app)
    needed = set() if arguments.partial else None
    wrong += [f"DuckDB: {what}" for what in differences(rows, expected, needed)]
    if not arguments.partial:
        wrong += [f"pandas: {what}" for what in differences(by_pandas(arguments.table), expected)]
    if wrong:
        more = f"\n… and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        sys.exit("\n".join(wrong[:SHOWN]) + more)
    print(f"{len(rows)} candles, each once and exact, in {newest + 1} versions, read with delta-rs, DuckDB and pandas")


if __name__ == "__main__":
    main()
