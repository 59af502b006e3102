"""Runs a bare consumer, StockPulse and its peers on the same topic and prints what each cost: see `run help`."""

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
from pathlib import Path

import processes
from compare import compare

FRAME_TICKS = 5  # what `stockpulse bench` puts into a frame
TOPIC = "stockpulse-bench-{ticks}t-5f-50s-4p-none"  # and how it then names the topic
PEERS = ["flink", "flink-event-time", "spark"]
TITLES = {
    "bare": "bare consumer",
    "stockpulse": "StockPulse",
    "flink": "Flink SQL, open and close by arrival",
    "flink-event-time": "Flink SQL, open and close by event time (Java aggregate)",
    "spark": "Spark Structured Streaming",
}
# What Flink opens in a JVM from 17 on; its own start scripts do the same.
OPENED = "lang net io nio lang.reflect text time util util.concurrent util.concurrent.atomic util.concurrent.locks"


def arguments():
    parser = argparse.ArgumentParser(add_help=False, usage="see benches/peers/run help")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--broker", default=os.environ.get("KAFKA_BROKER", "localhost:9092"))
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers", type=lambda text: text.split(","), default=PEERS)
    parser.add_argument("--bin", type=Path)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--heap", default="1g")
    parser.add_argument("--limit", type=int, default=900)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    given.bin = (given.bin or given.root / "target/release").resolve()
    given.home = given.home.resolve()
    given.topic = TOPIC.format(ticks=given.ticks)
    if min(given.ticks, given.rounds, given.cores, given.limit) < 1 or given.ticks % FRAME_TICKS:
        parser.error(f"counts are positive, and --ticks a multiple of {FRAME_TICKS}")
    if wrong := set(given.peers) - set(PEERS):
        parser.error(f"no such peer: {', '.join(sorted(wrong))}; there are {', '.join(PEERS)}")
    for name in ("stockpulse", "stockpulse-ingest"):
        if not (given.bin / name).is_file():
            parser.error(f"{given.bin / name} is missing; `cargo build --release --bins` builds it, or see --bin")
    return given


def commands(given, folder):
    """What each program is run with; candles go to FOLDER/NAME/candles."""
    confs = {
        "spark.sql.streaming.checkpointLocation": folder / "stockpulse/checkpoint",
        "spark.stockpulse.var.CANDLES_PATH": folder / "stockpulse/candles",
        "spark.stockpulse.var.KAFKA_TOPIC": given.topic,
        "spark.stockpulse.var.KAFKA_BROKER": given.broker,
    }
    opened = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in OPENED.split()]
    java = ["java", f"-Xmx{given.heap}", "-Duser.timezone=UTC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", *opened]

    def flink(name, order):
        # Flink unpacks its planner there.
        more = [f"-Djava.io.tmpdir={folder / name}", "-cp", f"{given.home}/classes:{given.home}/flink/*", "Ohlc"]
        return [*java, *more, given.broker, given.topic, folder / name, given.cores, order]

    spark_job = Path(__file__).with_name("spark_ohlc.py")
    return {
        "bare": [given.bin / "stockpulse", "bench", "--bare", "--broker", given.broker, "--topic", given.topic],
        "stockpulse": [
            *(given.bin / "stockpulse-ingest", "--master", f"local[{given.cores}]", "--name", "peers", "--available-now"),
            *(part for name, value in confs.items() for part in ("--conf", f"{name}={value}")),
            given.root / "sql/ohlc.sql",
        ],
        "flink": flink("flink", "arrival"),
        "flink-event-time": flink("flink-event-time", "event-time"),
        "spark": [
            *(sys.executable, spark_job, given.broker, given.topic, folder / "spark", given.home / "spark"),
            *(given.cores, given.heap),
        ],
    }


def environment(folder):
    """Nothing that happens to be set here changes a job."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "SPARK_", "FLINK_"))}
    kept.pop("CANDLES_PATH", None)
    return {**kept, "TMPDIR": str(folder), "SPARK_LOCAL_DIRS": str(folder), "SPARK_LOCAL_IP": "127.0.0.1"}


def topic(given, folder):
    """The topic is there and whole; making sure reads all of it, so that the first program is not the one that
    finds it outside the page cache."""
    bench = [given.bin / "stockpulse", "bench", "--broker", given.broker, "--ticks", given.ticks, "--compression", "none"]
    more = ["--rounds", 1, "--keep", "--master", f"local[{given.cores}]", "--sql", given.root / "sql/ohlc.sql"]
    processes.measure([*bench, *more, "--work-dir", folder], folder / "topic.log", given.limit, env=environment(folder))


def rounds(given, folder):
    """The costs of each program, a round each. The last round's candles stay."""
    costs = {}
    for number in range(1, given.rounds + 1):
        for name, command in commands(given, folder).items():
            if name in PEERS and name not in given.peers:
                continue
            own = folder / name
            shutil.rmtree(own, ignore_errors=True)
            own.mkdir()
            log = folder / f"{name}.log"
            cost = processes.measure(command, log, given.limit, cwd=own, env=environment(own))
            if name == "bare" and (messages := json.loads(log.read_text())["messages"]) * FRAME_TICKS != given.ticks:
                raise processes.Failed(f"the bare consumer read {messages} messages of topic {given.topic}")
            costs.setdefault(name, []).append(cost)
            say(f"round {number} of {given.rounds}: {TITLES[name]} {cost.wall_s:.2f} s, CPU {cost.cpu_s:.2f} s, of others {cost.other_cpu_s:.2f} s")
    return costs


def table(given, costs, compared):
    bare_s = statistics.median(cost.wall_s for cost in costs["bare"])
    yield "| | wall, s | CPU, s | CPU of others, s | peak memory, MB | ticks/s | wall to bare | candles | rows that differ |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for name, rows in costs.items():
        wall_s = statistics.median(cost.wall_s for cost in rows)
        cells = [
            TITLES[name],
            spread([cost.wall_s for cost in rows], ".2f"),
            spread([cost.cpu_s for cost in rows], ".2f"),
            spread([cost.other_cpu_s for cost in rows], ".2f"),
            spread([cost.peak_bytes / 1e6 for cost in rows], ".0f"),
            f"{given.ticks / wall_s:,.0f}",
            f"{wall_s / bare_s:.2f}",
        ]
        if name in compared:
            found = compared[name]
            cells += [f"{found.candles:,}", "–" if name == "stockpulse" else str(found)]
        else:
            cells += ["", ""]
        yield f"| {' | '.join(cells)} |"


def spread(values, form):
    """The median; with more than one, from least to most too."""
    text = format(statistics.median(values), form)
    return text if len(values) == 1 else f"{text} ({format(min(values), form)} to {format(max(values), form)})"


def say(text):
    print(text, file=sys.stderr, flush=True)


def stop(number, _frame):
    sys.exit(128 + number)


def main():
    given = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    processes.adopt_orphans()
    folder = given.home / f"run-{os.getpid()}"
    folder.mkdir()
    try:
        say(f"topic {given.topic} at {given.broker}")
        topic(given, folder)
        costs = rounds(given, folder)
        ours = folder / "stockpulse/candles"
        compared = {name: compare(ours, folder / name / "candles") for name in costs if name != "bare"}
        if compared["stockpulse"].trades != given.ticks:
            raise processes.Failed(f"StockPulse's candles hold {compared['stockpulse'].trades} of {given.ticks} ticks")
        print(f"{given.ticks:,} ticks, {given.cores} threads of {os.cpu_count()} cores, heap of a JVM {given.heap}, ", end="")
        print(f"rounds: {given.rounds}{' (median, least to most)' if given.rounds > 1 else ''}\n")
        print("\n".join(table(given, costs, compared)))
    except processes.Failed as failed:
        sys.exit(f"peers: {failed}")
    finally:
        if given.keep:
            say(f"candles and logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
