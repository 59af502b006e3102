//! What the ingest job did: ticks in, candles out.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::model::{Counts, Epoch, Partition, RejectReason, Watermark};

/// Label of the rejected ticks: one of [`RejectReason::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// The job's metrics. A clone counts into the same ones.
#[derive(Debug, Clone, Default)]
pub struct IngestMetrics {
    ticks_read: Counter,
    ticks_in_windows: Counter,
    ticks_filtered: Counter,
    ticks_late: Counter,
    ticks_rejected: Family<Reason, Counter>,
    epochs: Counter,
    rows_published: Counter,
    files_published: Counter,
    dead_letters: Counter,
    folders_compacted: Counter,
    files_compacted: Counter,
    open_windows: Gauge,
    open_groups: Gauge,
    watermark_seconds: Gauge,
    offsets_behind: Family<OfPartition, Gauge>,
    partition_watermark_seconds: Family<OfPartition, Gauge>,
    stage_seconds: Family<OfStage, Counter<f64, AtomicU64>>,
    memory_bytes: Gauge,
    sink_publish_seconds: Family<OfSink, Counter<f64, AtomicU64>>,
    sink_rows: Family<OfSink, Counter>,
    sink_attempts_failed: Family<OfSink, Counter>,
    sink_waiting_seconds: Family<OfSink, Gauge<f64, AtomicU64>>,
    sink_epoch: Family<OfSink, Gauge>,
}

/// Labels of what is known of each table's sink.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfSink {
    /// The table.
    pub table: String,
    /// Its connector.
    pub connector: &'static str,
}

/// Label of what is known of each partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPartition {
    partition: Partition,
}

/// Label of the stages of an epoch: `take`, `compute`, `commit`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStage {
    stage: &'static str,
}

impl IngestMetrics {
    /// Ticks of one epoch, by what became of them.
    pub fn ticks(&self, counts: &Counts) {
        self.ticks_read.inc_by(counts.read);
        self.ticks_in_windows.inc_by(counts.in_windows);
        self.ticks_filtered.inc_by(counts.filtered);
        self.ticks_late.inc_by(counts.late);
        for (&reason, &ticks) in &counts.rejected {
            let label = Reason {
                reason: reason.label(),
            };
            self.ticks_rejected.get_or_create(&label).inc_by(ticks);
        }
    }

    /// An epoch was committed and published.
    pub fn epoch(&self, rows: u64, files: u64) {
        self.epochs.inc();
        self.rows_published.inc_by(rows);
        self.files_published.inc_by(files);
    }

    /// Rejects and late ticks that an epoch has kept.
    pub fn dead_letters(&self, letters: u64) {
        self.dead_letters.inc_by(letters);
    }

    /// A partition directory of so many files was compacted.
    pub fn compacted(&self, files: u64) {
        self.folders_compacted.inc();
        self.files_compacted.inc_by(files);
    }

    /// What stays open after an epoch, and up to where windows are closed.
    pub fn open(&self, windows: usize, groups: usize, watermark: Watermark) {
        self.open_windows
            .set(i64::try_from(windows).unwrap_or(i64::MAX));
        self.open_groups
            .set(i64::try_from(groups).unwrap_or(i64::MAX));
        if watermark != Watermark::NONE {
            self.watermark_seconds
                .set(watermark.0.div_euclid(crate::model::NANOS_PER_SECOND));
        }
    }

    /// How far a partition is read: messages that are left, where the broker has said it, and its watermark.
    pub fn partition(&self, partition: Partition, behind: Option<i64>, watermark: Watermark) {
        let label = OfPartition { partition };
        match behind {
            Some(behind) => drop(self.offsets_behind.get_or_create(&label).set(behind)),
            None => drop(self.offsets_behind.remove(&label)),
        }
        if watermark != Watermark::NONE {
            let seconds = watermark.0.div_euclid(crate::model::NANOS_PER_SECOND);
            let gauge = self.partition_watermark_seconds.get_or_create(&label);
            gauge.set(seconds);
        }
    }

    /// Time that a stage of epochs took.
    pub fn stage(&self, stage: &'static str, time: Duration) {
        let label = OfStage { stage };
        let counter = self.stage_seconds.get_or_create(&label);
        counter.inc_by(time.as_secs_f64());
    }

    /// A sink has made rows of an epoch visible.
    pub fn published(&self, sink: &OfSink, epoch: Epoch, rows: u64, took: Duration) {
        let seconds = self.sink_publish_seconds.get_or_create(sink);
        seconds.inc_by(took.as_secs_f64());
        self.sink_rows.get_or_create(sink).inc_by(rows);
        let epoch = i64::try_from(epoch.0).unwrap_or(i64::MAX);
        self.sink_epoch.get_or_create(sink).set(epoch);
        self.sink_waiting_seconds.get_or_create(sink).set(0.0);
    }

    /// A sink is away: one more attempt came to nothing.
    pub fn not_published(&self, sink: &OfSink) {
        self.sink_attempts_failed.get_or_create(sink).inc();
    }

    /// A sink has been away for so long.
    pub fn waits(&self, sink: &OfSink, time: Duration) {
        let gauge = self.sink_waiting_seconds.get_or_create(sink);
        gauge.set(time.as_secs_f64());
    }

    /// The process's resident memory.
    pub fn memory(&self, bytes: u64) {
        self.memory_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Names the metrics in a registry, as the text format shows them.
    pub fn register(&self, registry: &mut Registry) {
        for reason in RejectReason::ALL {
            let label = Reason {
                reason: reason.label(),
            };
            drop(self.ticks_rejected.get_or_create(&label));
        }
        let counters = [
            ("stockpulse_job_ticks_read", "Ticks read", &self.ticks_read),
            (
                "stockpulse_job_ticks_in_windows",
                "Ticks aggregated into a window",
                &self.ticks_in_windows,
            ),
            (
                "stockpulse_job_ticks_filtered",
                "Ticks that the SQL's conditions left out",
                &self.ticks_filtered,
            ),
            (
                "stockpulse_job_ticks_late",
                "Ticks whose window had closed",
                &self.ticks_late,
            ),
            ("stockpulse_job_epochs", "Commits", &self.epochs),
            (
                "stockpulse_job_rows_published",
                "Rows made visible to readers",
                &self.rows_published,
            ),
            (
                "stockpulse_job_files_published",
                "Files made visible to readers",
                &self.files_published,
            ),
            (
                "stockpulse_job_dead_letters",
                "Rejects and late ticks that were kept",
                &self.dead_letters,
            ),
            (
                "stockpulse_job_folders_compacted",
                "Partition directories whose files became one",
                &self.folders_compacted,
            ),
            (
                "stockpulse_job_files_compacted",
                "Files that were in them before",
                &self.files_compacted,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "stockpulse_job_ticks_rejected",
            "Ticks and frames that were refused",
            self.ticks_rejected.clone(),
        );
        registry.register(
            "stockpulse_job_offsets_behind",
            "Messages of the partition that are not read yet",
            self.offsets_behind.clone(),
        );
        registry.register(
            "stockpulse_job_partition_watermark_seconds",
            "The partition's own watermark; seconds since 1970 UTC",
            self.partition_watermark_seconds.clone(),
        );
        registry.register(
            "stockpulse_job_stage_seconds",
            "Time of epochs: take is asking the workers, compute and commit are closing windows",
            self.stage_seconds.clone(),
        );
        registry.register(
            "stockpulse_sink_publish_seconds",
            "Time of making rows visible, of the attempts that did",
            self.sink_publish_seconds.clone(),
        );
        registry.register(
            "stockpulse_sink_rows",
            "Rows that the table's sink has made visible",
            self.sink_rows.clone(),
        );
        registry.register(
            "stockpulse_sink_attempts_failed",
            "Attempts that found the table's sink away",
            self.sink_attempts_failed.clone(),
        );
        registry.register(
            "stockpulse_sink_waiting_seconds",
            "For how long the table's sink has been away; 0: it is not",
            self.sink_waiting_seconds.clone(),
        );
        registry.register(
            "stockpulse_sink_epoch",
            "The last commit that the table's sink has made rows of visible",
            self.sink_epoch.clone(),
        );
        let gauges = [
            (
                "stockpulse_job_memory_bytes",
                "Resident memory",
                &self.memory_bytes,
            ),
            (
                "stockpulse_job_open_windows",
                "Windows that are open",
                &self.open_windows,
            ),
            (
                "stockpulse_job_open_groups",
                "Distinct keys in open windows",
                &self.open_groups,
            ),
            (
                "stockpulse_job_watermark_seconds",
                "Windows that end at or before this are closed; seconds since 1970 UTC",
                &self.watermark_seconds,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
    }
}
