//! The options as `--verbose` shows them.

use super::{IngestOptions, KAFKA_PROPERTIES, Master};
use crate::config::secret::Secret;

impl IngestOptions {
    /// The options, a line each, without values that may be secret.
    pub fn describe(&self) -> String {
        let names = |pairs: &[(String, Secret)]| {
            let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
            names.join(", ")
        };
        let letters = match &self.dead_letters {
            Some(letters) => letters.to_string(),
            None => "not kept".to_owned(),
        };
        let vars: Vec<&str> = self.vars.keys().map(String::as_str).collect();
        let checkpoint = match &self.checkpoint_location {
            Some(place) => place.to_string(),
            None => "beside the data".to_owned(),
        };
        let compaction = match self.compaction {
            Some(grace) => format!("true, {grace:?} after the last file"),
            None => "false".to_owned(),
        };
        let memory = match self.memory_limit {
            Some(bytes) => format!("{} MB", bytes >> 20),
            None => "no limit".to_owned(),
        };
        let files: Vec<String> = (self.files.iter())
            .map(|file| format!("{} ({})", file.table, file.path.display()))
            .collect();
        format!(
            "sql file                {}\n\
             name                    {}\n\
             master                  {}\n\
             memory                  {memory}\n\
             supervise               {}\n\
             files                   {}\n\
             compression             {}\n\
             checkpointLocation      {checkpoint}\n\
             trigger                 {:?}\n\
             startingOffsets         {:?}\n\
             maxOffsetsPerTrigger    {:?}\n\
             failOnDataLoss          {}\n\
             maxFutureSkew           {:?}\n\
             deadLetters             {letters}\n\
             compaction              {compaction}\n\
             rebuild                 {}\n\
             createTables            {}\n\
             variables               {}\n\
             Kafka properties        {}\n\
             {KAFKA_PROPERTIES}        {}",
            self.sql_path.display(),
            self.name,
            match &self.master {
                Master::Local { threads } => format!("local[{threads}]"),
                Master::Arroyo(cluster) => cluster.master.clone(),
            },
            self.supervise,
            files.join(", "),
            (self.codec).map_or("as the SQL says".to_owned(), |codec| format!("{codec:?}")),
            self.trigger,
            self.starting_offsets,
            self.max_offsets_per_trigger,
            self.fail_on_data_loss,
            self.max_future_skew,
            self.rebuild,
            self.create_tables,
            vars.join(", "),
            names(&self.kafka_conf),
            names(&self.kafka_environment),
        )
    }
}
