"""Reads a candle table again and again with DuckDB while a job writes it, and holds every look against a CSV.

Usage: duckdb_watch.py TABLE EXPECTED.csv

TABLE is the folder of Parquet files; it may not be there yet. EXPECTED.csv has the columns symbol, window_start, open,
high, low, close, volume, trades. Every look is a connection of its own that lists and reads all files. No candle may
be wrong, twice, or gone that an earlier look has seen. Ends after a last look when standard input does, and prints
three numbers: looks that saw a file, candles compared over all looks, candles of the last look. Exit status: 0 all
looks were right, 1 one was not, with the first differences.
"""

import datetime
import select
import sys
import time
from pathlib import Path

import duckdb

from duckdb_read import SHOWN, by_duckdb, differences, expected_rows

REST_S = 0.001  # a look is followed by a rest as long as itself, and at least this


def look(table, expected, seen):
    """The keys that one look sees; exits where it sees what must not be."""
    # Before DuckDB lists: it takes a folder without a file for an error.
    if not any(Path(table).rglob("*.parquet")):
        if seen:
            sys.exit(f"{len(seen)} candles have vanished: no file is there")
        return seen
    with duckdb.connect() as connection:
        rows = by_duckdb(table, connection)
    wrong = list(differences(rows, expected, needed=seen))
    if wrong:
        sys.exit("\n".join(wrong[:SHOWN]))
    return {(row[0], row[1]) for row in rows}


def main():
    table, path = sys.argv[1:]
    expected = expected_rows(path, datetime.timedelta(minutes=1))
    looks = compared = 0
    seen = set()
    last = False
    while True:
        begun = time.monotonic()
        seen = look(table, expected, seen)
        looks += bool(seen)
        compared += len(seen)
        if last:
            break
        rest = max(time.monotonic() - begun, REST_S)
        last = bool(select.select([sys.stdin], [], [], rest)[0])
    print(looks, compared, len(seen))


if __name__ == "__main__":
    main()
