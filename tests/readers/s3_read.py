"""Reads a table on S3 with DataFusion, by the README's statement for datafusion-cli, and says what is in it.

Usage: s3_read.py ENDPOINT BUCKET PREFIX, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment

datafusion-cli takes the store's address and keys as OPTIONS of the statement; DataFusion in Python has them from an object
instead, so that part of the statement is left out here.
"""

import os
import re
import sys
from pathlib import Path

from datafusion import SessionContext
from datafusion.object_store import AmazonS3

README = Path(__file__).parents[2] / "README.md"


def statement(location):
    """The README's statement that creates the table, for `location` in place of its example."""
    blocks = re.findall(r"```sql\n(.*?)```", README.read_text(), re.DOTALL)
    [block] = [block for block in blocks if "LOCATION 's3://" in block]
    [create] = [part for part in block.split(";") if "CREATE EXTERNAL TABLE" in part]
    create = re.sub(r"LOCATION 's3://[^']*'", f"LOCATION '{location}'", create)
    return re.sub(r"OPTIONS \([^)]*\)", "", create)


def main():
    endpoint, bucket, prefix = sys.argv[1:]
    store = AmazonS3(
        bucket_name=bucket,
        region="us-east-1",
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        endpoint=endpoint,
        allow_http=True,
    )
    session = SessionContext()
    session.register_object_store("s3://", store, bucket)
    session.sql(statement(f"s3://{bucket}/{prefix}/"))
    found = session.sql("SELECT count(*) AS rows, sum(trades) AS trades FROM candles").to_pydict()
    print(f"{found['rows'][0]} rows, {found['trades'][0]} trades")


if __name__ == "__main__":
    main()
