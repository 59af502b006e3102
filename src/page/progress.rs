//! A report in the shape of Spark's StreamingQueryProgress, for scripts that read that one.
//! Source: <https://spark.apache.org/docs/4.1.0/streaming/apis-on-dataframes-and-datasets.html#reading-metrics-interactively>.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use super::board::{About, memory};
use crate::job::ProgressReport;
use crate::model::{NANOS_PER_MILLI, Partition, Watermark};

/// One report, beside the one before.
#[derive(Debug)]
pub struct Batch {
    number: u64,
    time_ms: i64,
    interval: Duration,
    report: ProgressReport,
    /// Ticks since the last report.
    pub ticks: u64,
    rows: u64,
    late: u64,
    /// Where the partitions stood before.
    starts: BTreeMap<Partition, i64>,
}

impl Batch {
    /// `interval`: since the last report.
    pub fn new(
        number: u64,
        report: &ProgressReport,
        before: Option<&Batch>,
        interval: Duration,
        time_ms: i64,
    ) -> Batch {
        let ticks = before.map_or(0, |before| before.report.ticks_total);
        let rows = before.map_or(0, |before| before.report.rows_written_total);
        let late = before.map_or(0, |before| before.report.counts.late);
        let starts = match before {
            Some(before) => offsets(&before.report),
            None => BTreeMap::new(),
        };
        Batch {
            number,
            time_ms,
            interval,
            // Counts go on from the checkpoint: what was before this run is not of its first batch.
            ticks: match before {
                Some(_) => report.ticks_total.saturating_sub(ticks),
                None => 0,
            },
            rows: report.rows_written_total.saturating_sub(rows),
            late: report.counts.late.saturating_sub(late),
            starts,
            report: report.clone(),
        }
    }

    /// The report.
    pub fn report(&self) -> &ProgressReport {
        &self.report
    }

    /// Seconds from the watermark to the clock.
    pub fn watermark_lag_s(&self) -> Option<f64> {
        let watermark = self.report.watermark;
        (watermark != Watermark::NONE)
            .then(|| (self.time_ms - watermark.0.div_euclid(NANOS_PER_MILLI)) as f64 / 1e3)
    }

    /// As Spark shows it. `ends`: the offsets after the last message of every partition, those that are known.
    pub fn spark(&self, about: &About, topic: &str, ends: &BTreeMap<Partition, i64>) -> Value {
        let report = &self.report;
        let per_second = |count: u64| match self.interval.is_zero() {
            true => 0.0,
            false => count as f64 / self.interval.as_secs_f64(),
        };
        let busy = report.stages.total();
        let processed = match busy.is_zero() {
            true => 0.0,
            false => self.ticks as f64 / busy.as_secs_f64().max(1e-3),
        };
        let millis = |time: Duration| time.as_millis() as u64;
        let now = offsets(report);
        let by_topic = |offsets: &BTreeMap<Partition, i64>| {
            let offsets = offsets.iter();
            let offsets = offsets.map(|(partition, offset)| (partition.to_string(), json!(offset)));
            json!({ topic: offsets.collect::<Map<String, Value>>() })
        };
        let behind: Vec<i64> = now
            .iter()
            .filter_map(|(partition, next)| Some((ends.get(partition)? - next).max(0)))
            .collect();
        let metrics = match behind.is_empty() {
            true => json!({}),
            false => json!({
                "avgOffsetsBehindLatest": (behind.iter().sum::<i64>() as f64 / behind.len() as f64).to_string(),
                "maxOffsetsBehindLatest": behind.iter().max().map(i64::to_string),
                "minOffsetsBehindLatest": behind.iter().min().map(i64::to_string),
            }),
        };
        let event_time = match instant(report.watermark) {
            Some(watermark) => json!({ "watermark": watermark }),
            None => json!({}),
        };
        json!({
            "id": about.name,
            "runId": about.run_id,
            "name": about.name,
            "timestamp": moment(self.time_ms),
            "batchId": self.number,
            "batchDuration": millis(busy),
            "numInputRows": self.ticks,
            "inputRowsPerSecond": per_second(self.ticks),
            "processedRowsPerSecond": processed,
            "durationMs": {
                "getBatch": millis(report.stages.take),
                "addBatch": millis(report.stages.compute),
                "walCommit": millis(report.stages.commit),
                "triggerExecution": millis(busy),
            },
            "eventTime": event_time,
            "stateOperators": [{
                "operatorName": "windows",
                "numRowsTotal": report.open_groups,
                "numRowsDroppedByWatermark": self.late,
                "memoryUsedBytes": memory(),
                "customMetrics": { "openWindows": report.open_windows },
            }],
            "sources": [{
                "description": format!("Kafka[{topic}]"),
                "startOffset": by_topic(&self.starts),
                "endOffset": by_topic(&now),
                "latestOffset": by_topic(ends),
                "numInputRows": self.ticks,
                "inputRowsPerSecond": per_second(self.ticks),
                "processedRowsPerSecond": processed,
                "metrics": metrics,
            }],
            "sink": {
                "description": about.tables.join(", "),
                "numOutputRows": self.rows,
            },
        })
    }
}

fn offsets(report: &ProgressReport) -> BTreeMap<Partition, i64> {
    let partitions = report.partitions.iter();
    partitions.map(|p| (p.partition, p.next)).collect()
}

/// A watermark as Spark and JSON show it; `None`: there is none yet.
pub fn instant(watermark: Watermark) -> Option<String> {
    (watermark != Watermark::NONE).then(|| {
        DateTime::from_timestamp_nanos(watermark.0).to_rfc3339_opts(SecondsFormat::Millis, true)
    })
}

/// Milliseconds since 1970 UTC as text.
pub fn moment(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
