"""Reads a candle table as its users do, with DuckDB and with pandas, and holds every row against a CSV.

Usage: duckdb_read.py TABLE EXPECTED.csv [--width-s 60]

TABLE is the folder of Parquet files. EXPECTED.csv has the columns symbol, window_start, open, high, low,
close, volume, trades. Prices and trades must be equal bit by bit, volume to 1e-9; every candle stands in
TABLE once and no other does. Exit status: 0 equal, 1 not, with the first differences.
"""

import argparse
import csv
import datetime
import sys
from pathlib import Path

import duckdb
import pandas

COLUMNS = ["symbol", "window_start", "window_end", "open", "high", "low", "close", "volume", "trades", "date"]
VOLUME_TOLERANCE = 1e-9
SHOWN = 10  # differences that are printed


def expected_rows(path, width):
    """The rows that must be there, keyed by symbol and start of the window."""
    rows = {}
    with open(path, newline="") as file:
        for line in csv.DictReader(file):
            start = datetime.datetime.fromisoformat(line["window_start"].removesuffix("Z"))
            end = start + width
            rows[line["symbol"], start] = (
                line["symbol"],
                start,
                end,
                *(float(line[name]) for name in ("open", "high", "low", "close", "volume")),
                int(line["trades"]),
                # A window's rows lie in the day of its last instant.
                (end - datetime.timedelta(microseconds=1)).date(),
            )
    return rows


def by_duckdb(table, connection=duckdb):
    """The table's rows through DuckDB's own Parquet reader."""
    query = f"SELECT {', '.join(COLUMNS)} FROM read_parquet($files, hive_partitioning = true)"
    return connection.execute(query, {"files": f"{table}/**/*.parquet"}).fetchall()


def by_pandas(table):
    """The table's rows through pandas and pyarrow, which are given the folder alone."""
    frame = pandas.read_parquet(table)[COLUMNS]
    frame["date"] = pandas.to_datetime(frame["date"].astype(str)).dt.date
    for name in ("window_start", "window_end"):
        frame[name] = frame[name].astype("datetime64[us]").astype(object)
    return list(frame.itertuples(index=False, name=None))


def same(row, wanted):
    """Whether two rows are equal, volume within its tolerance."""
    volume = COLUMNS.index("volume")
    exact = all(a == b for i, (a, b) in enumerate(zip(row, wanted)) if i != volume)
    return exact and abs(row[volume] - wanted[volume]) <= VOLUME_TOLERANCE


def differences(rows, expected, needed=None):
    """What is doubled, wrong, unexpected or missing, a sentence each; `needed` are the keys that must be there."""
    seen = set()
    for row in rows:
        key = row[0], row[1]
        if key in seen:
            yield f"twice: {row}"
        elif key not in expected:
            yield f"not expected: {row}"
        elif not same(row, expected[key]):
            yield f"differs: {row}, expected {expected[key]}"
        seen.add(key)
    for key in (expected.keys() if needed is None else needed) - seen:
        yield f"missing: {expected[key]}"


def foreign_files(table):
    """Whatever in the folder is not a finished Parquet file."""
    return [path for path in Path(table).rglob("*") if path.is_file() and path.suffix != ".parquet"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("expected")
    parser.add_argument("--width-s", type=int, default=60, help="width of a window in seconds")
    arguments = parser.parse_args()

    expected = expected_rows(arguments.expected, datetime.timedelta(seconds=arguments.width_s))
    if not expected:
        sys.exit(f"{arguments.expected} holds no row")
    wrong = [f"not a Parquet file: {path}" for path in foreign_files(arguments.table)]
    for name, read in (("DuckDB", by_duckdb), ("pandas", by_pandas)):
        wrong += [f"{name}: {what}" for what in differences(read(arguments.table), expected)]
    if wrong:
        more = f"\n… and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        sys.exit("\n".join(wrong[:SHOWN]) + more)
    print(f"{len(expected)} candles, each once and exact, read with DuckDB and pandas")


if __name__ == "__main__":
    main()
