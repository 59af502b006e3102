//! The properties that there are, as data: names are checked with it, `--help` lists it, and the table in
//! `docs/SPARK.md` is made of it.

pub const MASTER: &str = "spark.master";
pub const DEPLOY_MODE: &str = "spark.submit.deployMode";
pub const APP_NAME: &str = "spark.app.name";
/// Where checkpoints are kept.
pub const CHECKPOINT_LOCATION: &str = "spark.sql.streaming.checkpointLocation";
pub const DRIVER_MEMORY: &str = "spark.driver.memory";
pub const EXECUTOR_MEMORY: &str = "spark.executor.memory";
pub const TOTAL_CORES: &str = "spark.cores.max";
pub const EXECUTOR_CORES: &str = "spark.executor.cores";
pub const FILES: &str = "spark.files";
pub const SUPERVISE: &str = "spark.driver.supervise";
pub const COMPRESSION: &str = "spark.sql.parquet.compression.codec";
pub const TIME_ZONE: &str = "spark.sql.session.timeZone";
pub const TRIGGER: &str = "spark.stockpulse.trigger";
pub const STARTING_OFFSETS: &str = "spark.stockpulse.startingOffsets";
pub const STARTING_TIMESTAMP: &str = "spark.stockpulse.startingTimestamp";
pub const STARTING_BY_TIMESTAMP: &str = "spark.stockpulse.startingOffsetsByTimestamp";
pub const BY_TIMESTAMP_STRATEGY: &str = "spark.stockpulse.startingOffsetsByTimestampStrategy";
pub const MAX_OFFSETS: &str = "spark.stockpulse.maxOffsetsPerTrigger";
pub const FAIL_ON_DATA_LOSS: &str = "spark.stockpulse.failOnDataLoss";
pub const MAX_FUTURE_SKEW: &str = "spark.stockpulse.maxFutureSkew";
pub const SINK_PATIENCE: &str = "spark.stockpulse.sinkPatience";
pub const DEAD_LETTERS: &str = "spark.stockpulse.deadLetters";
pub const COMPACTION: &str = "spark.stockpulse.compaction";
pub const COMPACTION_GRACE: &str = "spark.stockpulse.compactionGrace";
pub const UI_ENABLED: &str = "spark.ui.enabled";
pub const UI_PORT: &str = "spark.ui.port";
pub const UI_HOST: &str = "spark.stockpulse.ui.host";
pub const ARROYO_PARALLELISM: &str = "spark.stockpulse.arroyo.parallelism";
pub const ARROYO_CHECKPOINT_INTERVAL: &str = "spark.stockpulse.arroyo.checkpointInterval";
pub const REBUILD: &str = "spark.stockpulse.rebuild";
pub const CREATE_TABLES: &str = "spark.stockpulse.createTables";
/// Begins the name of a property that is ours; an unknown one is an error.
pub const OUR_PREFIX: &str = "spark.stockpulse.";
/// Begins the name of a variable's value.
pub const VAR_PREFIX: &str = "spark.stockpulse.var.";
/// Begins the name of a librdkafka property.
pub const KAFKA_PREFIX: &str = crate::config::kafka::CONF_PREFIX;

/// Properties with an effect, and what each does; those that are a flag's other name are last.
pub const PROPERTIES: [(&str, &str); 31] = [
    (
        CHECKPOINT_LOCATION,
        "where checkpoints are kept (default: beside the data)",
    ),
    (
        TRIGGER,
        "availableNow, or the least time between commits, such as 10 seconds (default: windows as soon as they can be closed, all else every second)",
    ),
    (
        STARTING_OFFSETS,
        "earliest (default), latest, or {\"topic\":{\"0\":23,\"1\":-2}}; -2 is earliest, -1 latest; without a checkpoint only, as the two below",
    ),
    (
        STARTING_BY_TIMESTAMP,
        "{\"topic\":{\"0\":1700000000000,…}}: milliseconds since 1970 by partition, from which on messages are read, by Kafka's timestamp; beats startingOffsets",
    ),
    (
        STARTING_TIMESTAMP,
        "the same for all partitions: 1700000000000; beats both",
    ),
    (
        BY_TIMESTAMP_STRATEGY,
        "where no message of a partition is that young: error (default; not where it is empty), or latest",
    ),
    (
        MAX_OFFSETS,
        "messages that one trigger reads at most (default: no limit)",
    ),
    (
        FAIL_ON_DATA_LOSS,
        "refuse to start when needed offsets are gone, and a rebuild that would lose candles (default: true)",
    ),
    (
        MAX_FUTURE_SKEW,
        "event times further than this in the future of their Kafka timestamp are rejected (default: 10 minutes)",
    ),
    (
        SINK_PATIENCE,
        "how long a table's sink, or the topic of dead letters, that is away is waited for while the job runs; after that it ends (default: until it is back; 5 minutes with --available-now)",
    ),
    (
        DEAD_LETTERS,
        "keep what is in no candle, rejects and late ticks, with its reason and bytes: a folder (Parquet), or kafka:TOPIC (default: counted only)",
    ),
    (
        COMPRESSION,
        "codec of tables that have no 'parquet.compression' in the SQL: zstd (default), snappy, gzip, lz4, lz4_raw, uncompressed or none",
    ),
    (
        COMPACTION,
        "false: the files of a day stay as they were written; by default they become one, never those of today and yesterday (UTC)",
    ),
    (
        COMPACTION_GRACE,
        "how long ago the last of them was published (default: 1 hour)",
    ),
    (UI_ENABLED, "false: no page of the job (default: true)"),
    (
        UI_PORT,
        "the page's port; the next free one of 16 is taken (default: 8086)",
    ),
    (
        UI_HOST,
        "address it listens on (default: 127.0.0.1); STOCKPULSE_JOB_TOKEN in the environment is the token that it then asks for",
    ),
    (
        TIME_ZONE,
        "UTC; another one is refused, since windows, folders and times are UTC",
    ),
    (
        ARROYO_PARALLELISM,
        "subtasks of a pipeline on Arroyo (default: the partitions of its topic)",
    ),
    (
        ARROYO_CHECKPOINT_INTERVAL,
        "time between a pipeline's checkpoints, 1 second to a day (default: the trigger's, else the cluster's own); ARROYO_TOKEN in the environment is the token that the cluster asks for",
    ),
    (MASTER, "as --master"),
    (DEPLOY_MODE, "as --deploy-mode"),
    (APP_NAME, "as --name"),
    (DRIVER_MEMORY, "as --driver-memory"),
    (EXECUTOR_MEMORY, "as --executor-memory"),
    (TOTAL_CORES, "as --total-executor-cores"),
    (EXECUTOR_CORES, "as --executor-cores"),
    (FILES, "as --files"),
    (SUPERVISE, "true: as --supervise"),
    (REBUILD, "true: as --rebuild"),
    (CREATE_TABLES, "true: as --create-tables"),
];

/// Properties whose name has a free part.
pub const FAMILIES: [(&str, &str); 2] = [
    (
        "spark.kafka.PROPERTY",
        "any librdkafka property; it beats the SQL file's options",
    ),
    (
        "spark.stockpulse.var.NAME",
        "value of {{ NAME }} in the SQL file, as NAME=VALUE after the file, which beats it; it beats the environment, which beats .env, which beats the default in the file",
    ),
];

/// Other names of properties: options of Spark's readStream and writeStream that have a spark.* name too.
pub const ALIASES: [(&str, &str); 2] = [
    ("spark.stockpulse.checkpointLocation", CHECKPOINT_LOCATION),
    ("spark.stockpulse.compression", COMPRESSION),
];

/// Names, and with a dot at the end whole families, that Spark knows and that have no effect here: a warning with
/// what to do instead. The first that fits counts.
pub const WITHOUT_EFFECT: [(&str, &str); 40] = [
    (
        "spark.stockpulse.minPartitions",
        "a thread reads whole partitions: give the topic as many as there are threads",
    ),
    (
        "spark.stockpulse.minOffsetsPerTrigger",
        "spark.stockpulse.trigger is the least time between commits",
    ),
    (
        "spark.stockpulse.maxTriggerDelay",
        "spark.stockpulse.trigger is the least time between commits",
    ),
    (
        "spark.stockpulse.groupIdPrefix",
        "the consumer group is stockpulse- and the job's name, or the SQL's 'source.group_id'",
    ),
    ("spark.stockpulse.includeHeaders", "headers are not read"),
    (
        "spark.sql.shuffle.partitions",
        "nothing is shuffled: threads are --master local[N], and a thread reads whole partitions of the topic",
    ),
    ("spark.default.parallelism", "threads are --master local[N]"),
    (
        "spark.sql.adaptive.",
        "a plan is made once, when the job starts; --explain shows it",
    ),
    (
        "spark.sql.streaming.stateStore.",
        "there is no state store: open windows are computed again from Kafka",
    ),
    (
        "spark.sql.streaming.minBatchesToRetain",
        "the checkpoint is one small file",
    ),
    (
        "spark.sql.streaming.metricsEnabled",
        "metrics are always at /metrics of the job's page",
    ),
    (
        "spark.sql.streaming.schemaInference",
        "the SQL declares the columns",
    ),
    (
        "spark.sql.streaming.multipleWatermarkPolicy",
        "a job reads one stream",
    ),
    (
        "spark.sql.parquet.",
        "a table's options are in the SQL: 'parquet.compression', 'parquet.row_group_size'",
    ),
    (
        "spark.sql.extensions",
        "there is no JVM, so no extension of Spark",
    ),
    ("spark.sql.catalog.", "tables are declared in the SQL"),
    (
        "spark.sql.warehouse.dir",
        "a table's folder is its 'path' in the SQL",
    ),
    (
        "spark.streaming.kafka.maxRatePerPartition",
        "spark.stockpulse.maxOffsetsPerTrigger limits what is read",
    ),
    (
        "spark.streaming.stopGracefullyOnShutdown",
        "SIGTERM and Ctrl-C always stop after a last commit",
    ),
    (
        "spark.streaming.",
        "that is the old DStreams; spark.stockpulse.* are this job's",
    ),
    (
        "spark.jars",
        "Kafka and Parquet are built in, nothing is downloaded",
    ),
    (
        "spark.jars.",
        "Kafka and Parquet are built in, nothing is downloaded",
    ),
    ("spark.submit.pyFiles", "the job is SQL, there is no Python"),
    ("spark.pyspark.", "the job is SQL, there is no Python"),
    (
        "spark.archives",
        "unpack it, and name its CSV, Parquet or JSON files by --files",
    ),
    (
        "spark.serializer",
        "rows are columns in memory (Arrow), nothing is serialised",
    ),
    (
        "spark.kryo",
        "rows are columns in memory (Arrow), nothing is serialised",
    ),
    ("spark.driver.cores", "threads are --master local[N]"),
    (
        "spark.driver.memoryOverhead",
        "--driver-memory limits the open windows; there is no JVM heap",
    ),
    (
        "spark.executor.memoryOverhead",
        "--executor-memory limits the open windows; there is no JVM heap",
    ),
    (
        "spark.memory.",
        "--driver-memory limits the open windows; there is no JVM heap",
    ),
    ("spark.driver.extra", "there is no JVM"),
    ("spark.executor.extra", "there is no JVM"),
    (
        "spark.executor.instances",
        "there is one process; threads are --master local[N]",
    ),
    (
        "spark.dynamicAllocation.",
        "there is one process; threads are --master local[N]",
    ),
    (
        "spark.eventLog.",
        "the job's page has its progress, its log is on standard error",
    ),
    ("spark.hadoop.", "tables are folders of this machine"),
    (
        "spark.yarn.",
        "there is no YARN; a cluster is --master arroyo://HOST:PORT",
    ),
    (
        "spark.kubernetes.",
        "a pod runs stockpulse-ingest as any program",
    ),
    (
        "spark.kerberos.",
        "Kafka's login is spark.kafka.sasl.*, or client_configs in the SQL",
    ),
];

/// Options of Spark's Kafka source that would be wrong to pass over: an error with what to do instead.
pub const REFUSED: [(&str, &str); 8] = [
    (
        "spark.stockpulse.subscribe",
        "the topic is in the SQL: topic = '…'",
    ),
    (
        "spark.stockpulse.subscribePattern",
        "a job reads one topic, which is in the SQL: topic = '…'",
    ),
    (
        "spark.stockpulse.assign",
        "a job reads all partitions of the topic that is in the SQL",
    ),
    (
        "spark.stockpulse.endingOffsets",
        "--available-now ends with what the topic holds at the start",
    ),
    (
        "spark.stockpulse.endingOffsetsByTimestamp",
        "--available-now ends with what the topic holds at the start; a WHERE in the SQL leaves out the rest",
    ),
    (
        "spark.stockpulse.endingTimestamp",
        "--available-now ends with what the topic holds at the start; a WHERE in the SQL leaves out the rest",
    ),
    (
        "spark.stockpulse.kafka.",
        "a librdkafka property is spark.kafka.NAME",
    ),
    (
        "spark.stockpulse.path",
        "a table's folder is its 'path' in the SQL",
    ),
];

/// Whether an entry of the tables above stands for all names that begin with it.
pub fn is_family(entry: &str) -> bool {
    const BEGINNINGS: [&str; 3] = ["spark.kryo", "spark.driver.extra", "spark.executor.extra"];
    entry.ends_with('.') || BEGINNINGS.contains(&entry)
}

/// Whether `name` is the entry, or of the family that it stands for.
pub fn fits(entry: &str, name: &str) -> bool {
    match is_family(entry) {
        true => name.starts_with(entry),
        false => name == entry,
    }
}
