//! Parquet files → rows, pruned by symbol and time.
