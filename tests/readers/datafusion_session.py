"""Runs the README's datafusion-cli statements as they stand, and holds them to what the README says of them.

Usage: datafusion_session.py TABLE

TABLE is a folder of candles with two files or more. A session that runs the README's statements must see files that
appear later; one that leaves out the README's first line must not, or the README asks for too much. When a folder's files
have become one, the former must see the same rows, and the latter must fail, since it keeps a listing of files that are gone.
Exit status: 0 both hold, 1 not.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

import pyarrow
from datafusion import SessionContext
from pyarrow.parquet import ParquetFile, write_table

README = Path(__file__).parents[2] / "README.md"


def statements(table):
    """The README's block that sets the session up, for `table` in place of its example folder."""
    blocks = re.findall(r"```sql\n(.*?)```", README.read_text(), re.DOTALL)
    [block] = [block for block in blocks if "CREATE EXTERNAL TABLE ohlc" in block]
    assert "'data/ohlc/'" in block, "the README's statement names another folder"
    return [part.strip() for part in block.replace("data/ohlc/", f"{table}/").split(";") if part.strip()]


def rows_before_and_after(files, source, left_out):
    """Rows that one session sees in a table of one file, and then when the others have appeared."""
    with tempfile.TemporaryDirectory() as table:
        publish(files[:1], source, table)
        session = session_of(table, left_out)
        before = count(session)
        publish(files[1:], source, table)
        return before, count(session)


def rows_before_and_after_compaction(files, source, left_out):
    """Rows that one session sees, and then when the oldest folder's files are one: a number, or why it fails."""
    with tempfile.TemporaryDirectory() as table:
        publish(files, source, table)
        session = session_of(table, left_out)
        before = read(session)
        folder = (Path(table) / files[0].relative_to(source)).parent
        many = sorted(folder.iterdir())
        # The session is not asked in between, so here it need not happen in one step.
        merged = pyarrow.concat_tables([ParquetFile(file).read() for file in many])
        write_table(merged, folder / f"{many[-1].stem}c001.parquet")
        for file in many:
            file.unlink()
        try:
            return before, read(session)
        except Exception as error:  # whatever DataFusion's is called
            return before, str(error)


def session_of(table, left_out):
    """A session that has run the README's statements but for one."""
    session = SessionContext()
    for statement in statements(table):
        if not statement.startswith(left_out):
            session.sql(statement).collect()
    return session


def publish(files, source, table):
    """Files appear as the job makes them appear: whole, by rename."""
    for file in files:
        target = Path(table) / file.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=Path(table).parent) as stage:
            shutil.copy(file, Path(stage) / file.name).rename(target)


def count(session):
    return session.sql("SELECT count(*) AS rows FROM ohlc").to_pydict()["rows"][0]


def read(session):
    """Rows that are read, not only counted from what is known of the files."""
    return len(session.sql("SELECT symbol, close FROM ohlc").to_pydict()["close"])


def main():
    source = Path(sys.argv[1])
    files = sorted(source.rglob("*.parquet"))
    if len(files) < 2:
        sys.exit(f"{source} holds {len(files)} files; two are needed")
    before, after = rows_before_and_after(files, source, left_out=("no statement",))
    if not 0 < before < after:
        sys.exit(f"new candles did not show: {before} rows, then {after}")
    cached = rows_before_and_after(files, source, left_out=("SET",))
    if cached != (before, before):
        sys.exit(f"without the SET: {cached[0]} rows, then {cached[1]}; the README's line is no longer needed")
    whole, compacted = rows_before_and_after_compaction(files, source, left_out=("no statement",))
    if not 0 < whole == compacted:
        sys.exit(f"a compacted folder does not show as before: {whole} rows, then {compacted}")
    kept, missed = rows_before_and_after_compaction(files, source, left_out=("SET",))
    if kept != whole or "not found" not in str(missed).lower():
        sys.exit(f"without the SET, after compaction: {kept} rows, then {missed}; the README says not found")
    print(f"the README's session sees {before} rows and, when more files have appeared, {after}; as many when a folder's files are one")


if __name__ == "__main__":
    main()
