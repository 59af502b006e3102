//! What means something else on a cluster than here, said before a pipeline is submitted.

use tracing::{info, warn};

use super::Failure;
use crate::config::ingest::{Cluster, IngestOptions, Trigger};
use crate::query::sql::{Connector, DeltaSinkOptions, SourceOffset, SqlFile, Statement};

/// Hosts that are this machine.
const HERE: [&str; 4] = ["localhost", "127.", "[::1]", "0.0.0.0"];

/// What a cluster cannot do at all.
///
/// # Errors
/// An option that would change the rows and has no meaning there.
pub(super) fn refuse(options: &IngestOptions) -> Result<(), Failure> {
    let refusal = match options {
        IngestOptions { rebuild: true, .. } => {
            "--rebuild is the local engine's; on Arroyo submit the SQL under another --name and into another path"
        }
        IngestOptions {
            trigger: Trigger::AvailableNow,
            ..
        } => {
            "--available-now is the local engine's: a pipeline on Arroyo goes on until it is stopped, and its last windows stay open while nothing comes"
        }
        _ => return Ok(()),
    };
    Err(Failure::Usage(refusal.to_owned()))
}

/// Says which options have no effect, and what of the file means something else there.
pub(super) fn say(options: &IngestOptions, cluster: &Cluster, sql: Option<&SqlFile>) {
    let ineffective = [
        (
            "spark.stockpulse.startingOffsets",
            options.starting_offsets.is_some(),
        ),
        (
            "spark.stockpulse.maxOffsetsPerTrigger",
            options.max_offsets_per_trigger.is_some(),
        ),
        (
            "spark.stockpulse.deadLetters",
            options.dead_letters.is_some(),
        ),
        (
            "spark.sql.streaming.checkpointLocation",
            options.checkpoint_location.is_some(),
        ),
        (
            "spark.sql.parquet.compression.codec",
            options.codec.is_some(),
        ),
        (
            "--driver-memory or --executor-memory",
            options.memory_limit.is_some(),
        ),
        ("--files", !options.files.is_empty()),
        ("--supervise", options.supervise),
        ("--create-tables", options.create_tables),
    ];
    for (name, _) in ineffective.iter().filter(|(_, is_given)| *is_given) {
        warn!("{name} has no effect on an Arroyo cluster");
    }
    if !options.kafka_conf.is_empty() {
        warn!(
            "spark.kafka.* only serves to count the topic's partitions here; for the cluster it belongs into the SQL: client_configs = 'name=value'"
        );
    }
    let is_here = |address: &str| HERE.iter().any(|host| address.starts_with(host));
    let host = cluster.url.split_once("://").map_or("", |(_, host)| host);
    if cluster.token.is_some() && cluster.url.starts_with("http:") && !is_here(host) {
        warn!("ARROYO_TOKEN goes to {host} unencrypted; with TLS it is arroyos://");
    }
    let Some(sql) = sql else {
        info!("the local engine does not read this file; the cluster decides");
        return;
    };
    for statement in &sql.statements {
        let Statement::CreateTable(table) = statement else {
            continue;
        };
        let (name, line) = (&table.name.value, table.span.start.line);
        let place = format!("{}:{line}: {name}", sql.source.path());
        match &table.connector {
            Connector::KafkaSource(source) => {
                if source.source_offset.is_none() {
                    warn!(
                        "{place} has no 'source.offset': a new pipeline begins with the latest message on Arroyo, and with the earliest here"
                    );
                }
                if source.source_offset == Some(SourceOffset::Group) && source.group_id.is_none() {
                    warn!(
                        "{place} begins where its group stands, but has no 'source.group_id': on Arroyo each pipeline has a group of its own"
                    );
                }
                if !is_here(host) && is_here(&source.bootstrap_servers) {
                    warn!(
                        "{place} reads from {}, which for the cluster is its own machine",
                        source.bootstrap_servers
                    );
                }
            }
            Connector::FilesystemSink(files) | Connector::DeltaSink(DeltaSinkOptions { files }) => {
                let rolls = files.rolling_interval.is_some()
                    || files.rolling_inactivity.is_some()
                    || files.rolling_bytes.is_some();
                if !rolls {
                    warn!(
                        "{place} has no 'rolling_policy.interval': Arroyo closes no file before it has a thousand parts, so none may ever be seen"
                    );
                }
                if !is_here(host) {
                    warn!("{place} is a folder of the cluster's machines, not of this one");
                }
            }
            Connector::KafkaSink(sink) => {
                if !is_here(host) && is_here(&sink.kafka.brokers) {
                    warn!(
                        "{place} writes to {}, which for the cluster is its own machine",
                        sink.kafka.brokers
                    );
                }
            }
            Connector::StaticTable(_) => {}
            Connector::PostgresSink(_) => {
                warn!(
                    "{place}: Arroyo has no connector 'postgres', so the cluster will not take it"
                );
            }
            Connector::StdoutSink(_) => {
                info!("{place} is printed by the cluster's workers, not here");
            }
        }
    }
    let is_select = |statement: &Statement| matches!(statement, Statement::Query { .. });
    if sql.statements.iter().any(is_select) {
        info!("rows of a bare SELECT are shown by the cluster's console, not here");
    }
}
