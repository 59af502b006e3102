//! The server as any client sees it: Amazon's protocol by the object_store crate, Parquet by the parquet crate.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stockpulse::testing::row_text;

use crate::support::shipped::Run;

/// The bucket that tests write to.
#[derive(Clone)]
pub struct Bucket {
    pub address: String,
    pub name: String,
    pub key: String,
    pub secret: String,
    store: Arc<AmazonS3>,
    runtime: Arc<tokio::runtime::Runtime>,
}

/// Where a test's table stands.
#[derive(Debug, Clone)]
pub struct Place {
    /// As a job is told.
    pub url: String,
    /// What the keys of everything beside the table begin with.
    pub prefix: String,
    /// What the keys of the table's files begin with.
    pub table: String,
}

impl Bucket {
    pub fn of_environment() -> Bucket {
        let told = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: .ci/s3 start, then env $(.ci/s3 env) cargo test --test services")
            })
        };
        let [address, name, key, secret] = [
            "STOCKPULSE_TEST_S3",
            "STOCKPULSE_TEST_S3_BUCKET",
            "STOCKPULSE_TEST_S3_KEY",
            "STOCKPULSE_TEST_S3_SECRET",
        ]
        .map(told);
        let store = AmazonS3Builder::new()
            .with_endpoint(&address)
            .with_allow_http(true)
            .with_bucket_name(&name)
            .with_access_key_id(&key)
            .with_secret_access_key(&secret)
            .build();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        Bucket {
            address,
            name,
            key,
            secret,
            store: Arc::new(store.unwrap()),
            runtime: Arc::new(runtime.unwrap()),
        }
    }

    /// A place that nothing stands in yet.
    pub fn place(&self) -> Place {
        static PLACES: AtomicUsize = AtomicUsize::new(0);
        let number = PLACES.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("test-{}-{number}", std::process::id());
        let table = format!("{prefix}/ohlc");
        Place {
            url: format!("s3::{}/{}/{table}", self.address, self.name),
            prefix,
            table,
        }
    }

    /// The run, with the rights to write to the bucket.
    pub fn login(&self, run: Run) -> Run {
        run.env("AWS_ACCESS_KEY_ID", &self.key)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret)
    }

    /// Keys below a prefix, sorted.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.try_keys(prefix).unwrap()
    }

    fn try_keys(&self, prefix: &str) -> object_store::Result<Vec<String>> {
        let listed = self.store.list(Some(&Path::from(prefix)));
        let keys = listed.map_ok(|meta| meta.location.to_string());
        let mut keys: Vec<String> = self.runtime.block_on(keys.try_collect())?;
        keys.sort();
        Ok(keys)
    }

    pub fn get(&self, key: &str) -> object_store::Result<Bytes> {
        let key = Path::parse(key).unwrap();
        self.runtime
            .block_on(async { self.store.get(&key).await?.bytes().await })
    }

    pub fn delete(&self, key: &str) {
        let key = Path::parse(key).unwrap();
        self.runtime.block_on(self.store.delete(&key)).unwrap();
    }

    /// The files of a table, as any reader of Parquet lists them. s3proxy also lists what it is just writing, and what
    /// it was writing when it was killed, under names that end otherwise.
    pub fn files(&self, table: &str) -> object_store::Result<Vec<String>> {
        let mut keys = self.try_keys(table)?;
        keys.retain(|key| key.ends_with(".parquet"));
        Ok(keys)
    }

    /// The rows of a table as text, sorted.
    pub fn rows(&self, place: &Place) -> Result<Vec<String>, String> {
        let mut rows = Vec::new();
        for key in self
            .files(&place.table)
            .map_err(|error| error.to_string())?
        {
            let content = self.get(&key).map_err(|error| error.to_string())?;
            rows.extend(rows_of(content).map_err(|why| format!("{key} {why}"))?);
        }
        rows.sort();
        Ok(rows)
    }

    /// `kill -9` of the server; it is back when this returns.
    pub fn crash(&self) {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let done = Command::new(root.join(".ci/s3"))
            .arg("crash")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
    }
}

/// The rows of a file as text; what is wrong with it.
pub fn rows_of(content: Bytes) -> Result<Vec<String>, String> {
    let batches = ParquetRecordBatchReaderBuilder::try_new(content)
        .and_then(|builder| builder.build())
        .map_err(|error| format!("is not finished: {error}"))?;
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|error| format!("cannot be read: {error}"))?;
        rows.extend((0..batch.num_rows()).map(|row| row_text(&batch, row).unwrap()));
    }
    Ok(rows)
}
