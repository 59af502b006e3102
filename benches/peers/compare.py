"""Holds the candles of one job against those of another."""

from dataclasses import dataclass

TOLERANCE = 1e-9  # relative: sums are taken in another order
PRICES = ("open", "high", "low", "close", "volume")


@dataclass
class Compared:
    candles: int
    trades: int
    missing: int  # candles that are not there
    unexpected: int  # candles that should not be there, or are there again
    values: dict  # rows in which a column differs, by column
    wrong: int  # rows in which any does

    def __str__(self):
        parts = [f"{count:,} {name}" for name, count in self.values.items() if count]
        parts += [f"{self.missing:,} missing"] if self.missing else []
        parts += [f"{self.unexpected:,} too many"] if self.unexpected else []
        total = f"{self.missing + self.unexpected + self.wrong:,}"
        return f"{total} ({', '.join(parts)})" if parts else total


def compare(ours, theirs):
    """Candles in the folder `theirs` against those in `ours`, which are right."""
    # Only here: what is measured is started by a small process.
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name, folder in (("ours", ours), ("theirs", theirs)):
        # Flink's files have no ending; what begins with a dot or an underscore is no candle.
        files = [str(file) for file in folder.rglob("*") if file.is_file() and is_candles(file.relative_to(folder))]
        connection.execute(
            f"CREATE TABLE {name} AS SELECT symbol, CAST(window_start AS TIMESTAMP) AS window_start, "
            f"{', '.join(PRICES)}, trades FROM read_parquet($files)",
            {"files": files},
        )
    other = {name: f"abs(o.{name} - t.{name}) > {TOLERANCE} * abs(o.{name}) OR t.{name} IS NULL" for name in PRICES}
    other["trades"] = "o.trades IS DISTINCT FROM t.trades"
    counts = ", ".join(f"count_if({differs})" for differs in other.values())
    candles, trades = connection.execute("SELECT count(*), sum(trades) FROM theirs").fetchone()
    both, wrong, *values = connection.execute(
        f"SELECT count(*), count_if({' OR '.join(other.values())}), {counts} "
        "FROM ours o JOIN (SELECT DISTINCT ON (symbol, window_start) * FROM theirs) t USING (symbol, window_start)"
    ).fetchone()
    (expected,) = connection.execute("SELECT count(*) FROM ours").fetchone()
    connection.close()
    return Compared(candles, int(trades), expected - both, candles - both, dict(zip(other, values)), wrong)


def is_candles(path):
    return not any(part.startswith((".", "_")) for part in path.parts)
