//! A store in memory, and what stands in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stockpulse::objects::{Address, Objects, Watch};
use stockpulse::testing::row_text;

/// The table of these tests.
pub const TABLE: &str = "s3://ticks/data/ohlc";

/// The bucket of [`TABLE`] on `store`.
pub fn objects(store: &Arc<InMemory>, watch: Option<Arc<dyn Watch>>) -> Objects {
    let store: Arc<dyn ObjectStore> = Arc::clone(store) as _;
    Objects::over(store, &Address::parse(TABLE).unwrap(), watch).unwrap()
}

#[test]
fn every_request_does_what_it_says() {
    let store = Arc::new(InMemory::new());
    super::requests::check_every_request(&objects(&store, None), "data/requests");
}

/// A store of its own with the same objects.
pub fn fork(store: &InMemory) -> Arc<InMemory> {
    Arc::new(store.fork())
}

/// Everything below a prefix, by key.
pub fn below(store: &Arc<InMemory>, prefix: &str) -> BTreeMap<String, Bytes> {
    let objects = objects(store, None);
    let listed = objects.list(prefix, None).unwrap();
    let with_content = |key: String| {
        let content = objects.get(&key).unwrap().unwrap();
        (key, content)
    };
    listed
        .into_iter()
        .map(|object| with_content(object.key))
        .collect()
}

/// The rows of the table's files as text, sorted: what is no whole Parquet file is an error.
pub fn rows(store: &Arc<InMemory>) -> Result<Vec<String>, String> {
    let prefix = Address::parse(TABLE).unwrap().prefix().to_owned();
    let mut rows = Vec::new();
    for (key, content) in below(store, &prefix) {
        if !key.ends_with(".parquet") {
            return Err(format!("{key} stands in the table"));
        }
        let batches = ParquetRecordBatchReaderBuilder::try_new(content)
            .and_then(|builder| builder.build())
            .map_err(|error| format!("{key} is not whole: {error}"))?;
        for batch in batches {
            let batch = batch.map_err(|error| format!("{key} cannot be read: {error}"))?;
            rows.extend((0..batch.num_rows()).map(|row| row_text(&batch, row).unwrap()));
        }
    }
    rows.sort();
    Ok(rows)
}
