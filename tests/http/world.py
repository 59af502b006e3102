"""A table of candles, a job that only answers, and the shipped API between them, all on loopback."""

import datetime
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.request

import pyarrow
import pyarrow.parquet

MINUTE = 60
COLUMNS = ["symbol", "window_start", "window_end", "open", "high", "low", "close", "volume", "trades"]


def utc(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def candle(symbol, start, close, open_=None, volume=1.5, trades=7):
    """A candle of one minute; `start` in seconds since 1970."""
    open_ = close if open_ is None else open_
    high, low = max(open_, close) * 1.0004, min(open_, close) * 0.9996
    values = [symbol, start, start + MINUTE, open_, round(high, 2), round(low, 2), close, volume, trades]
    return dict(zip(COLUMNS, values))


def walk(symbol, first, count, price, gaps=()):
    """Candles one after another, the same for the same arguments; none at the indices of `gaps`."""
    state = sum(map(ord, symbol)) * 7919 + 1
    candles, before = [], price
    for at in range(count):
        state = (state * 1103515245 + 12345) % 2**31
        close = round(before * (1 + ((state >> 8) % 2001 - 1000) / 8e5), 2)
        if at not in gaps:
            candles.append(candle(symbol, first + at * MINUTE, close, before, round((state % 977) / 50 + 0.1, 3), state % 90 + 1))
        before = close
    return candles


class Table:
    """A folder as the ingest job writes it: finished files, by rename."""

    def __init__(self, root):
        self.folder = pathlib.Path(root) / "ohlc"
        self.stage = pathlib.Path(root) / "_stage"
        self.files = 0

    def publish(self, candles):
        by_day = {}
        for row in candles:
            by_day.setdefault(utc(row["window_end"] - 1)[:10], []).append(row)
        for day, rows in by_day.items():
            rows.sort(key=lambda row: (row["symbol"], row["window_start"]))
            self.files += 1
            name = f"ohlc-{self.files:010}-000.parquet"
            folder = self.folder / f"date={day}"
            folder.mkdir(parents=True, exist_ok=True)
            self.stage.mkdir(parents=True, exist_ok=True)
            times = pyarrow.timestamp("ns")
            columns = {}
            for column in COLUMNS:
                values = [row[column] for row in rows]
                if column.startswith("window_"):
                    columns[column] = pyarrow.array([value * 10**9 for value in values], times)
                else:
                    columns[column] = pyarrow.array(values)
            pyarrow.parquet.write_table(pyarrow.table(columns), self.stage / name, compression="zstd")
            os.rename(self.stage / name, folder / name)


class Job:
    """Answers what the ingest job answers about its open windows."""

    def __init__(self, token=None):
        job = self
        self.candles, self.asked, self.token = [], 0, token

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                job.asked += 1
                is_open = self.path.split("?")[0] == "/api/v1/open"
                is_known = job.token is None or self.headers.get("Authorization") == f"Bearer {job.token}"
                rows = [dict(row, window_start=utc(row["window_start"]), window_end=utc(row["window_end"])) for row in job.candles]
                answer = {"outputs": [{"name": "ohlc", "watermark": None, "rows": rows}]}
                body = json.dumps(answer).encode()
                self.send_response(200 if is_open and is_known else 404 if is_known else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.handler = Handler
        self.port = 0
        self.start()

    def start(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self.handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Api:
    """The shipped binary; it listens on the same port after a restart."""

    def __init__(self, binary, table, job, **environment):
        self.binary, self.table, self.environment, self.port = binary, table, environment, 0
        self.job_url = "none" if job is None else f"http://127.0.0.1:{job.port}"
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        log = open(self.table.folder.parent / "api.log", "ab")
        at = log.tell()
        environment = {"CANDLES_PATH": str(self.table.folder), "API_PORT": str(self.port), "STOCKPULSE_JOB_URL": self.job_url}
        self.process = subprocess.Popen([self.binary], env=environment | self.environment, cwd=self.table.folder.parent, stderr=log, stdout=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            said = open(log.name, "rb").read()[at:].decode()
            found = re.search(r"listens on http://127\.0\.0\.1:(\d+)", said)
            if found:
                self.port = int(found[1])
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"the API did not start: {said}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(10)

    def get(self, path, **headers):
        with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers), timeout=30) as answer:
            return json.loads(answer.read())
