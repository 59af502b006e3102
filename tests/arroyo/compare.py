"""Runs one SQL file on both engines over the same Kafka topic and compares the Parquet that they write.

    tests/arroyo/compare.py --master arroyo://localhost:5115 --broker localhost:9092 --topic raw_ticks sql/ohlc.sql
    tests/arroyo/compare.py --ours data/ohlc --theirs /data/ohlc       only compares two folders

The local engine reads the topic to its end and ends. The pipeline on the cluster runs until no new file has come for
--settle seconds, and is then stopped with a last checkpoint. Both write below --scratch, which the cluster's workers
must see under the same path, as with `arroyo cluster` on this machine. The topic should get nothing new meanwhile.

Needs stockpulse-ingest (--bin, default target/release) and Python with duckdb (.ci/python has one). Exit status: 0 the
same rows, but for windows that are still open on Arroyo; 1 not, with the first differences; 2 something failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

TOLERANCE = 1e-9  # relative: a sum of floats depends on the order
SHOWN = 10  # differences that are printed
FLOATS = ("DOUBLE", "FLOAT")
KEYS = ("VARCHAR", "DATE")  # and timestamps: what a row is known by, unless --key says


class Failed(Exception):
    pass


def parquet_files(folder):
    """Finished files: what Arroyo still writes is in a folder of the table, which is no part of it."""
    return sorted(str(file) for file in folder.rglob("*.parquet") if "__in_progress" not in file.parts)


def load(connection, name, folder):
    files = parquet_files(folder)
    if not files:
        raise Failed(f"{folder} has no finished Parquet file")
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet($files, hive_partitioning = false)", {"files": files})
    columns = connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE {name})").fetchall()
    return dict(columns), len(files)


def quoted(names):
    return ", ".join(f'"{name}"' for name in names)


def compare(ours_folder, theirs_folder, key):
    """Prints how the rows in `theirs_folder` differ from those in `ours_folder`; whether they differ."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    ours, our_files = load(connection, "ours", ours_folder)
    theirs, their_files = load(connection, "theirs", theirs_folder)
    if list(ours) != list(theirs):
        print(f"columns: {', '.join(ours)} here, {', '.join(theirs)} on Arroyo")
        return True
    key = key or [name for name, kind in ours.items() if kind in KEYS or kind.startswith("TIMESTAMP")]
    unknown = [name for name in key if name not in ours]
    if unknown or not key:
        raise Failed(f"--key: there is no column {', '.join(unknown)}" if unknown else "give the columns of a row by --key")
    one = lambda sql: connection.execute(sql).fetchone()
    print(f"files: {our_files} here, {their_files} on Arroyo; rows: {one('SELECT count(*) FROM ours')[0]:,} here, "
          f"{one('SELECT count(*) FROM theirs')[0]:,} on Arroyo; a row is known by {', '.join(key)}")
    differs = False
    for name in ("ours", "theirs"):
        (twice,) = one(f"SELECT count(*) - count(DISTINCT ({quoted(key)})) FROM {name}")
        if twice:
            print(f"{twice:,} rows are more than once in {name}")
            differs = True
    # Windows end in order: what is behind the last that Arroyo wrote was still open there.
    end = "window_end" if "window_end" in ours else next((name for name in key if ours[name].startswith("TIMESTAMP")), None)
    behind = f'"{end}" > (SELECT max("{end}") FROM theirs)' if end else "false"
    missing = f"FROM ours ANTI JOIN theirs USING ({quoted(key)})"
    (still_open,) = one(f"SELECT count(*) {missing} WHERE {behind}")
    if still_open:
        print(f"{still_open:,} rows are only here, in windows that are still open on Arroyo")
    for said, sql in (
        ("rows are missing on Arroyo", f"SELECT {quoted(key)} {missing} WHERE NOT ({behind})"),
        ("rows are only on Arroyo", f"SELECT {quoted(key)} FROM theirs ANTI JOIN ours USING ({quoted(key)})"),
    ):
        differs |= show(connection, said, f"{sql} ORDER BY ALL")
    for name, kind in ours.items():
        if name in key:
            continue
        other = f'o."{name}" IS DISTINCT FROM t."{name}"'
        if kind in FLOATS:
            other += f' AND NOT coalesce(abs(o."{name}" - t."{name}") <= {TOLERANCE} * abs(o."{name}"), false)'
        keys = ", ".join(f'o."{column}"' for column in key)
        sql = f'SELECT {keys}, o."{name}" AS here, t."{name}" AS arroyo FROM ours o JOIN theirs t USING ({quoted(key)}) WHERE {other} ORDER BY ALL'
        differs |= show(connection, f"rows have another {name}", sql)
    print("the rows differ" if differs else "the rows are the same")
    return differs


def show(connection, said, sql):
    (count,) = connection.execute(f"SELECT count(*) FROM ({sql})").fetchone()
    if count:
        print(f"{count:,} {said}:")
        for row in connection.execute(f"{sql} LIMIT {SHOWN}").fetchall():
            print("   ", *row)
    return count > 0


def ingest(arguments, options, folder):
    """stockpulse-ingest, with the file's variables so that it writes below `folder`."""
    environment = dict(os.environ, KAFKA_BROKER=options.broker, KAFKA_TOPIC=options.topic)
    environment.update(CANDLES_PATH=str(folder / "table"), DATA_DIR=str(folder), COMMIT_INTERVAL="1 second")
    command = [str(options.bin / "stockpulse-ingest"), *arguments]
    print("$", *command, flush=True)
    if subprocess.run(command, env=environment, check=False).returncode != 0:
        raise Failed("stockpulse-ingest failed")


def run_both(options, scratch):
    ours, theirs = scratch / "local", scratch / "arroyo"
    ingest([str(options.sql), "--available-now", "--conf", "spark.ui.enabled=false"], options, ours)
    name = f"compare-{options.sql.stem}-{os.getpid()}"
    master = ["--master", options.master, "--name", name]
    ingest([*master, "--deploy-mode", "cluster", "--conf", "spark.stockpulse.arroyo.checkpointInterval=5 seconds", str(options.sql)], options, theirs)
    try:
        settle(theirs, options)
    finally:
        ingest([*master[:2], "--kill", name], options, theirs)
    return ours, theirs


def settle(folder, options):
    """Waits until no new file has come for a while."""
    began, seen, since = time.monotonic(), [], time.monotonic()
    while time.monotonic() - since < options.settle or not seen:
        if time.monotonic() - began > options.limit:
            raise Failed(f"the pipeline has not come to rest after {options.limit} s")
        time.sleep(1)
        now = parquet_files(folder) if folder.exists() else []
        if now != seen:
            seen, since = now, time.monotonic()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sql", nargs="?", type=Path, help="a SQL file that is for both engines")
    parser.add_argument("--master", help="arroyo://HOST:PORT")
    parser.add_argument("--broker", default="localhost:9092")
    parser.add_argument("--topic", default="raw_ticks")
    parser.add_argument("--bin", type=Path, default=Path("target/release"), help="where stockpulse-ingest is")
    parser.add_argument("--scratch", type=Path, help="a folder that the cluster's workers see, too (default: a new one)")
    parser.add_argument("--settle", type=float, default=60, help="seconds without a new file")
    parser.add_argument("--limit", type=float, default=3600, help="seconds until all files are there")
    parser.add_argument("--key", type=lambda text: text.split(","), help="columns that a row is known by")
    parser.add_argument("--ours", type=Path, help="a folder that the local engine wrote")
    parser.add_argument("--theirs", type=Path, help="a folder that Arroyo wrote")
    options = parser.parse_args()
    try:
        if options.ours and options.theirs:
            return int(compare(options.ours, options.theirs, options.key))
        if not (options.sql and options.master):
            parser.error("give a SQL file and --master, or --ours and --theirs")
        scratch = options.scratch or Path(tempfile.mkdtemp(prefix="stockpulse-arroyo-"))
        ours, theirs = run_both(options, scratch.resolve())
        return int(compare(ours, theirs, options.key))
    except Failed as failed:
        print(f"error: {failed}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
