"""Holds the running API against the document that it serves: schemathesis makes requests, good and bad ones, and
looks whether each answer is one that the document allows.

    python tests/http/fuzz.py target/debug/stockpulse-api
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from world import Api, Job, Table, walk

CASES = 40
SECONDS = 240


def main(binary):
    root = tempfile.mkdtemp(prefix="stockpulse-fuzz-")
    table, job = Table(root), Job()
    start = int(time.time()) // 60 * 60 - 3600
    table.publish(walk("BINANCE:BTCUSDT", start, 60, 61234.5, {7, 8}) + walk("A", start, 60, 1.5))
    api = Api(binary, table, job, API_SQL="true")
    try:
        # A stream has no end, so it is asked for in the tests only. Deliberately without the check that every
        # request of the document's shape is taken: text is no SELECT, and a time before another no order.
        schemathesis = pathlib.Path(sys.executable).with_name("schemathesis")
        ended = subprocess.run(
            [
                schemathesis, "run", f"{api.url}/api/v1/openapi.json",
                "--exclude-path", "/api/v1/stream",
                "--checks", "all", "--exclude-checks", "positive_data_acceptance,unsupported_method",
                "--phases", "examples,coverage,fuzzing", "--max-examples", str(CASES), "--seed", "1",
                "--request-timeout", "20", "--continue-on-failure", "--no-color",
            ],
            timeout=SECONDS, cwd=root, check=False,
        )
        assert ended.returncode == 0, "the API and its document differ"
        assert api.get("/api/v1/ping")["status"], "the API is still up"
    finally:
        api.stop()
        job.stop()
        shutil.rmtree(root)


if __name__ == "__main__":
    main(str(pathlib.Path(sys.argv[1]).resolve()))
