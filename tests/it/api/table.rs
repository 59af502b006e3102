//! A table as the sink writes it, and a job that only says what its open windows hold.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use chrono::DateTime;
use parquet::arrow::ArrowWriter;
use stockpulse::config::api::{ApiOptions, JobUrl};
use tempfile::TempDir;

pub const MINUTE_NS: i64 = 60_000_000_000;

/// Symbol, start and the four prices; a volume of 0.5 and 2 ticks.
pub type Row<'a> = (&'a str, &'a str, [f64; 4]);

pub struct Table {
    folder: TempDir,
}

pub fn nanos(rfc3339: &str) -> i64 {
    let time = DateTime::parse_from_rfc3339(rfc3339).unwrap();
    time.timestamp_nanos_opt().unwrap()
}

impl Table {
    pub fn new() -> Table {
        let folder = tempfile::tempdir().unwrap();
        Table { folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("ohlc")
    }

    /// The API over this table, without a job.
    pub fn options(&self) -> ApiOptions {
        ApiOptions {
            port: 0,
            candles: self.path(),
            job_url: JobUrl::None,
            ..ApiOptions::default()
        }
    }

    /// Publishes one-minute candles as the job does: by rename.
    pub fn publish(&self, file: &str, rows: &[Row]) {
        let starts: Vec<i64> = rows.iter().map(|row| nanos(row.1)).collect();
        let ends: Vec<i64> = starts.iter().map(|start| start + MINUTE_NS).collect();
        let price = |at: usize| -> ArrayRef {
            Arc::new(rows.iter().map(|row| row.2[at]).collect::<Float64Array>())
        };
        let columns: [(&str, ArrayRef); 9] = [
            (
                "symbol",
                Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>()),
            ),
            (
                "window_start",
                Arc::new(TimestampNanosecondArray::from(starts)),
            ),
            ("window_end", Arc::new(TimestampNanosecondArray::from(ends))),
            ("open", price(0)),
            ("high", price(1)),
            ("low", price(2)),
            ("close", price(3)),
            (
                "volume",
                Arc::new(Float64Array::from(vec![0.5; rows.len()])),
            ),
            ("trades", Arc::new(Int64Array::from(vec![2; rows.len()]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let staged = self.folder.path().join("staged");
        let mut writer =
            ArrowWriter::try_new(File::create(&staged).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        fs::rename(staged, path).unwrap();
    }

    pub fn broken(&self, file: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "this is no Parquet file").unwrap();
    }
}

/// Answers `GET /api/v1/open` with what it was last told, until it is dropped.
pub struct FakeJob {
    pub url: String,
    pub asked: Arc<AtomicUsize>,
    rows: Arc<Mutex<String>>,
    said: Arc<Mutex<String>>,
}

impl FakeJob {
    pub fn start() -> FakeJob {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let job = FakeJob {
            url,
            asked: Arc::default(),
            rows: Arc::default(),
            said: Arc::default(),
        };
        let (asked, rows, said) = (
            Arc::clone(&job.asked),
            Arc::clone(&job.rows),
            Arc::clone(&job.said),
        );
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                *said.lock().unwrap() = String::from_utf8_lossy(&head).into_owned();
                asked.fetch_add(1, Ordering::SeqCst);
                let rows = rows.lock().unwrap().clone();
                let body = format!(
                    r#"{{"outputs":[{{"name":"ohlc","watermark":"2026-08-01T10:00:00Z","rows":[{rows}]}}]}}"#
                );
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        job
    }

    /// The open candle of one symbol.
    pub fn open(&self, (symbol, start, [open, high, low, close]): Row) {
        let end = DateTime::from_timestamp_nanos(nanos(start) + MINUTE_NS);
        let end = end.format("%Y-%m-%dT%H:%M:%SZ");
        *self.rows.lock().unwrap() = format!(
            r#"{{"symbol":"{symbol}","window_start":"{start}","window_end":"{end}","open":{open},"high":{high},"low":{low},"close":{close},"volume":0.25,"trades":1}}"#
        );
    }

    /// The head of its last request.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}
