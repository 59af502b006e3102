//! The topics that a file writes, held against each other and against the one that it reads.

use std::collections::BTreeSet;

use super::plan::Output;
use super::sinks::SinkOptions;
use super::sql::{Diagnostic, KafkaSourceOptions, SqlFile, Statement, table_name};

/// Refuses a job that would read its own rows, and two INSERTs into one topic's table, which would share staged files
/// and transactions.
pub fn check_topics(
    file: &SqlFile,
    source: &KafkaSourceOptions,
    outputs: &[Output],
    faults: &mut Vec<Diagnostic>,
) {
    for (at, output) in outputs.iter().enumerate() {
        let SinkOptions::Kafka(sink) = &output.sink else {
            continue;
        };
        let span = file
            .statements
            .iter()
            .rev()
            .find_map(|statement| match statement {
                Statement::Insert { table, .. } if table_name(table) == output.table => {
                    Some(table.span)
                }
                _ => None,
            });
        let Some(span) = span else {
            continue;
        };
        let table = &output.table;
        let is_read = sink.topic == source.topic
            && same_brokers(&sink.kafka.brokers, &source.bootstrap_servers);
        if is_read {
            let message = format!("\"{table}\" writes to the topic that the job reads");
            let help = "it would read its own rows; give them a topic of their own";
            faults.push(file.source.diagnostic(span, message).with_help(help));
        }
        if outputs[..at].iter().any(|other| other.table == *table) {
            let message = format!("\"{table}\" is written by two INSERTs");
            let help = "declare a table for each, which may have the same topic";
            faults.push(file.source.diagnostic(span, message).with_help(help));
        }
    }
}

/// Whether two lists of brokers name the same ones, in whatever order.
pub fn same_brokers(one: &str, other: &str) -> bool {
    let brokers = |list: &str| -> BTreeSet<String> {
        let brokers = list.split(',').map(|broker| broker.trim().to_lowercase());
        brokers.filter(|broker| !broker.is_empty()).collect()
    };
    brokers(one) == brokers(other)
}

#[cfg(test)]
mod tests {
    use super::same_brokers;

    #[test]
    fn brokers_are_the_same_in_any_order() {
        assert!(same_brokers("a:1, B:2", "b:2,a:1,"));
        assert!(!same_brokers("a:1", "a:1,b:2"));
        assert!(!same_brokers("a:1", "a:2"));
    }
}
