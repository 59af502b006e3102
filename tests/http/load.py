"""Listeners of the live stream by the hundred, and requests as fast as they are answered; figures for
docs/PERFORMANCE.md. Everything is on loopback, and bounded. Needs wrk.

    python tests/http/load.py target/release/stockpulse-api
"""

import asyncio
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from world import Api, Job, Table, candle, walk

LISTENERS = 500
SECONDS = 20
PAUSE = 0.83
WRK = ["wrk", "-t1", "-c16", "-d8s", "--latency"]
SYMBOLS = [f"BINANCE:S{at}USDT" for at in range(50)]


class Listener:
    """What one client of the stream saw: when which close of the running candle came."""

    def __init__(self, symbol):
        self.symbol, self.closes, self.times, self.closed = symbol, {}, [], 0

    async def run(self, port, until):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /api/v1/stream?symbol={self.symbol} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        try:
            while (left := until - time.monotonic()) > 0:
                line = await asyncio.wait_for(reader.readline(), left)
                assert line, "a stream ended"
                if line.startswith(b"data: {\"symbol\""):
                    now = time.monotonic()
                    close = float(re.search(rb'"close":([0-9.e-]+)', line)[1])
                    if b'"closed":true' in line:
                        self.closed += 1
                    else:
                        self.times.append(now)
                        self.closes.setdefault(close, now)
        except TimeoutError:
            pass
        finally:
            writer.close()


def cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024


async def listen(api, table, job, count):
    """Listeners while every symbol's running candle changes once a second and a minute is published halfway."""
    now = int(time.time()) // 60 * 60
    until = time.monotonic() + SECONDS
    listeners = [Listener(SYMBOLS[at % len(SYMBOLS)]) for at in range(count)]
    tasks = [asyncio.create_task(listener.run(api.port, until)) for listener in listeners]
    changed, before, started = {}, cpu(api.process.pid), time.monotonic()
    # No multiple of the half second after which the job is asked again.
    for turn in range(int((SECONDS - 2) / PAUSE)):
        close = 100.0 + turn
        job.candles = [candle(symbol, now, close) for symbol in SYMBOLS]
        changed[close] = time.monotonic()
        if turn == SECONDS // 2:
            table.publish([candle(symbol, now - 60, 99.0) for symbol in SYMBOLS])
        await asyncio.sleep(PAUSE)
    used = (cpu(api.process.pid) - before) / (time.monotonic() - started)
    held = memory(api.process.pid)
    await asyncio.gather(*tasks)
    # The first seconds are for connecting.
    late = [came - changed[close] for listener in listeners for close, came in listener.closes.items() if close >= 103]
    gaps = [b - a for listener in listeners for a, b in zip(listener.times, listener.times[1:])]
    assert all(listener.closed == 1 for listener in listeners), "every listener got the closed candle once"
    late.sort()
    return {
        "listeners": count,
        "seen after (median, 99 %, most)": f"{statistics.median(late):.2f} s, {late[int(len(late) * 0.99)]:.2f} s, {late[-1]:.2f} s",
        "longest time without an event": f"{max(gaps):.2f} s",
        "CPU": f"{used * 100:.0f} % of a core",
        "memory": f"{held:.0f} MB",
    }


def requests(api, path):
    said = subprocess.run([*WRK, api.url + path], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    return {
        "path": path.replace(SYMBOLS[0], "…"),
        "requests/s": re.search(r"Requests/sec:\s+([0-9.]+)", said)[1],
        "median": re.search(r"50%\s+(\S+)", said)[1],
        "99 %": re.search(r"99%\s+(\S+)", said)[1],
        "memory": f"{memory(api.process.pid):.0f} MB",
    }


def show(rows):
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")


def main(binary):
    root = tempfile.mkdtemp(prefix="stockpulse-load-")
    table, job = Table(root), Job()
    start = int(time.time()) // 86400 * 86400 - 86400
    # The day before yesterday is one file; yesterday and today are as a job leaves them, a file a minute.
    table.publish([row for at, symbol in enumerate(SYMBOLS) for row in walk(symbol, start - 86400, 1439, 100.0 + at)])
    days = [walk(symbol, start, 1440, 100.0 + at) for at, symbol in enumerate(SYMBOLS)]
    for minute in zip(*days):
        table.publish(minute)
    api = Api(binary, table, job)
    try:
        show([asyncio.run(listen(api, table, job, count)) for count in (1, LISTENERS)])
        print()
        paths = ["/api/v1/ping", f"/api/v1/candles?symbol={SYMBOLS[0]}&limit=500", f"/api/v1/candles?symbol={SYMBOLS[0]}&limit=100&resolution=15m", "/api/v1/symbols"]
        show([requests(api, path) for path in paths])
    finally:
        api.stop()
        job.stop()
        shutil.rmtree(root)


if __name__ == "__main__":
    main(str(pathlib.Path(sys.argv[1]).resolve()))
