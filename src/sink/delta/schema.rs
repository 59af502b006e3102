//! What a Delta table is declared as: the first version of one that is made, and whether one that is there is
//! the table of the SQL and has nothing that this sink would break.

use std::collections::HashMap;
use std::time::Duration;

use arrow::datatypes::Schema;
use delta_kernel::actions::{Metadata, Protocol};
use delta_kernel::engine::arrow_conversion::TryFromArrow;
use delta_kernel::schema::{MetadataValue, StructField, StructType};
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::table_features::TableFeature;
use delta_kernel::{KernelError, KernelResult};
use serde_json::json;

/// What every reader and writer of Delta tables knows.
const READER: i32 = 1;
const WRITER: i32 = 2;
/// Writers below this one have no list of features, and what they imply says the table's metadata.
const WRITER_WITH_FEATURES: i32 = 7;
/// Features of which an append needs to know nothing.
const HARMLESS: [TableFeature; 3] = [
    TableFeature::AppendOnly,
    TableFeature::Invariants,
    TableFeature::VacuumProtocolCheck,
];
/// Epochs that the log forgets sooner could be written twice by a job that was stopped for so long.
const RETENTION_MIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Properties that make a table another kind of table.
const PROPERTIES: [(&str, &str); 4] = [
    ("delta.enableDeletionVectors", "deletion vectors"),
    ("delta.enableRowTracking", "row tracking"),
    ("delta.enableChangeDataFeed", "the change data feed"),
    ("delta.enableTypeWidening", "type widening"),
];
/// What makes a column more than its type.
const COLUMNS: [(&str, &str); 4] = [
    ("delta.generationExpression", "generated"),
    ("delta.identity.", "an identity column"),
    ("delta.invariants", "checked by an invariant"),
    ("CURRENT_DEFAULT", "given a default"),
];

/// What a table is to be.
#[derive(Debug)]
pub(super) struct Declared {
    schema: StructType,
    /// Columns that are directories.
    partitions: Vec<String>,
}

impl Declared {
    /// The table of these columns, as they are written.
    pub(super) fn new(columns: &Schema, partitions: Vec<String>) -> KernelResult<Declared> {
        let schema = StructType::try_from_arrow(columns)?;
        Ok(Declared { schema, partitions })
    }

    /// The first version of the table, a JSON object a line.
    pub(super) fn first_version(&self, engine: &str, now_ms: i64) -> KernelResult<Vec<u8>> {
        let protocol = Protocol::try_new(
            READER,
            WRITER,
            None::<Vec<TableFeature>>,
            None::<Vec<TableFeature>>,
        )?;
        let metadata = Metadata::try_new(
            None,
            None,
            self.schema.clone().into(),
            self.partitions.clone(),
            now_ms,
            HashMap::new(),
        )?;
        let info = json!({
            "timestamp": now_ms,
            "operation": "CREATE TABLE",
            "operationParameters": {},
            "engineInfo": engine,
        });
        let protocol = json!({
            "minReaderVersion": protocol.min_reader_version(),
            "minWriterVersion": protocol.min_writer_version(),
        });
        let mut metadata = serde_json::to_value(&metadata).map_err(KernelError::from)?;
        if let Some(fields) = metadata.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        let actions = [
            json!({ "commitInfo": info }),
            json!({ "protocol": protocol }),
            json!({ "metaData": metadata }),
        ];
        Ok(actions
            .iter()
            .flat_map(|action| format!("{action}\n").into_bytes())
            .collect())
    }

    /// What speaks against writing to the table that is there, a line each: it is not this one, or has what an
    /// append would have to know of.
    pub(super) fn against(&self, table: &SnapshotRef) -> Vec<String> {
        let mut against = self.differences(table);
        against.extend(features(table));
        against
    }

    fn differences(&self, table: &SnapshotRef) -> Vec<String> {
        let there = table.schema();
        let mut differences = Vec::new();
        for field in self.schema.fields() {
            let name = field.name();
            let declared = field.data_type();
            match there.field(name) {
                None => differences.push(format!(
                    "column \"{name}\": {declared} in the SQL, not in the table"
                )),
                Some(found) if found.data_type() != declared => {
                    let same = found.data_type().to_string() == declared.to_string();
                    differences.push(match same {
                        true => format!(
                            "column \"{name}\": nothing in its {declared} may be null in the table"
                        ),
                        false => format!(
                            "column \"{name}\": {declared} in the SQL, {} in the table",
                            found.data_type()
                        ),
                    });
                }
                Some(found) if !found.is_nullable() => differences.push(format!(
                    "column \"{name}\": it may be null in the SQL, and is NOT NULL in the table"
                )),
                Some(_) => {}
            }
        }
        for field in there.fields() {
            if self.schema.field(field.name()).is_none() {
                differences.push(format!(
                    "column \"{}\": {} in the table, not in the SQL",
                    field.name(),
                    field.data_type()
                ));
            }
        }
        let partitions = table.table_configuration().logical_partition_columns();
        if partitions != self.partitions {
            differences.push(format!(
                "partitioned by {} in the SQL, by {} in the table",
                named(&self.partitions),
                named(partitions)
            ));
        }
        differences
    }
}

fn named(columns: &[String]) -> String {
    match columns {
        [] => "nothing".to_owned(),
        columns => format!("({})", columns.join(", ")),
    }
}

fn features(table: &SnapshotRef) -> Vec<String> {
    let configuration = table.table_configuration();
    let mut found = Vec::new();
    let protocol = configuration.protocol();
    let readers = protocol.reader_features().unwrap_or_default();
    let writers = protocol.writer_features().unwrap_or_default();
    for feature in writers.iter().chain(readers) {
        let line = format!("the table has the feature {feature}");
        if !HARMLESS.contains(feature) && !found.contains(&line) {
            found.push(line);
        }
    }
    let properties = table.metadata_configuration();
    if protocol.min_writer_version() < WRITER_WITH_FEATURES {
        for (name, what) in PROPERTIES {
            if properties.get(name).is_some_and(|value| value == "true") {
                found.push(format!("the table has {what} ({name})"));
            }
        }
    }
    if let Some(mode) = properties.get("delta.columnMapping.mode")
        && mode != "none"
    {
        found.push(format!(
            "the table maps its columns by {mode} (delta.columnMapping.mode)"
        ));
    }
    let constraints = properties
        .keys()
        .filter_map(|name| name.strip_prefix("delta.constraints."));
    let mut constraints: Vec<&str> = constraints.collect();
    constraints.sort_unstable();
    let constraints = constraints.into_iter();
    found.extend(constraints.map(|name| format!("the table has the CHECK constraint {name}")));
    let schema = table.schema();
    found.extend(schema.fields().filter_map(column_feature));
    let kept = table.table_properties().set_transaction_retention_duration;
    if let Some(kept) = kept
        && kept < RETENTION_MIN
    {
        found.push(format!(
            "the table forgets which epochs it has after {} hours (delta.setTransactionRetentionDuration): at least 30 days are needed, lest a job that was stopped for longer writes rows twice",
            kept.as_secs() / 3600
        ));
    }
    found
}

fn column_feature(field: &StructField) -> Option<String> {
    let has = |prefix: &str| {
        let mut names = field.metadata().iter();
        names.any(|(name, value)| name.starts_with(prefix) && !is_null(value))
    };
    let (_, what) = COLUMNS.iter().find(|(prefix, _)| has(prefix))?;
    Some(format!(
        "column \"{}\" is {what} in the table",
        field.name()
    ))
}

fn is_null(value: &MetadataValue) -> bool {
    matches!(value, MetadataValue::Other(value) if value.is_null())
}
