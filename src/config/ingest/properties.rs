//! `spark.*` properties: where they come from and which there are.

use std::collections::BTreeMap;
use std::path::Path;

use super::UsageError;
use crate::model::nearest;

/// Names of the properties that have an effect.
pub(super) mod known {
    pub const MASTER: &str = "spark.master";
    pub const DEPLOY_MODE: &str = "spark.submit.deployMode";
    pub const APP_NAME: &str = "spark.app.name";
    pub const CHECKPOINT_LOCATION: &str = "spark.sql.streaming.checkpointLocation";
    pub const TRIGGER: &str = "spark.stockpulse.trigger";
    pub const STARTING_OFFSETS: &str = "spark.stockpulse.startingOffsets";
    pub const MAX_OFFSETS: &str = "spark.stockpulse.maxOffsetsPerTrigger";
    pub const FAIL_ON_DATA_LOSS: &str = "spark.stockpulse.failOnDataLoss";
    pub const MAX_FUTURE_SKEW: &str = "spark.stockpulse.maxFutureSkew";
    pub const DEAD_LETTERS: &str = "spark.stockpulse.deadLetters";
    pub const COMPACTION: &str = "spark.stockpulse.compaction";
    pub const COMPACTION_GRACE: &str = "spark.stockpulse.compactionGrace";
    pub const UI_ENABLED: &str = "spark.ui.enabled";
    pub const UI_PORT: &str = "spark.ui.port";
    pub const UI_HOST: &str = "spark.stockpulse.ui.host";
    pub const ARROYO_PARALLELISM: &str = "spark.stockpulse.arroyo.parallelism";
    pub const ARROYO_CHECKPOINT_INTERVAL: &str = "spark.stockpulse.arroyo.checkpointInterval";
    pub const REBUILD: &str = "spark.stockpulse.rebuild";
    /// Begins the name of a property that is ours; an unknown one is an error.
    pub const OUR_PREFIX: &str = "spark.stockpulse.";
    /// Begins the name of a variable's value.
    pub const VAR_PREFIX: &str = "spark.stockpulse.var.";
    /// Begins the name of a librdkafka property.
    pub const KAFKA_PREFIX: &str = crate::config::kafka::CONF_PREFIX;
    /// Names without a free part.
    pub const FIXED: [&str; 18] = [
        MASTER,
        DEPLOY_MODE,
        APP_NAME,
        CHECKPOINT_LOCATION,
        TRIGGER,
        STARTING_OFFSETS,
        MAX_OFFSETS,
        FAIL_ON_DATA_LOSS,
        MAX_FUTURE_SKEW,
        DEAD_LETTERS,
        COMPACTION,
        COMPACTION_GRACE,
        REBUILD,
        UI_ENABLED,
        UI_PORT,
        UI_HOST,
        ARROYO_PARALLELISM,
        ARROYO_CHECKPOINT_INTERVAL,
    ];
}

/// Properties by name. Deliberately without `Debug`: a value may be a password.
#[derive(Default)]
pub(super) struct Properties(BTreeMap<String, Given>);

struct Given {
    value: String,
    /// `--conf`, or the file and line.
    place: String,
}

/// A property that is given.
pub(super) struct Property<'a> {
    pub value: &'a str,
    name: &'a str,
    place: &'a str,
}

impl Property<'_> {
    /// What is wrong with the value, and what would be right.
    pub fn wrong(&self, wanted: &str) -> UsageError {
        let Property { value, name, place } = self;
        UsageError(format!(
            "{name} ({place}) is \"{value}\"; it must be {wanted}"
        ))
    }
}

impl Properties {
    /// Adds the lines of a file in the format of spark-defaults.conf: the name ends at the first `=`, `:`
    /// or white space.
    pub fn add_file(&mut self, path: &Path, text: &str) {
        let ends_name = |c: char| c == '=' || c == ':' || c.is_whitespace();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (name, rest) = line.split_at(line.find(ends_name).unwrap_or(line.len()));
            let rest = rest.trim_start();
            let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim();
            let place = format!("{}:{number}", path.display());
            self.add(name, value, place);
        }
    }

    /// Adds `NAME=VALUE` of each `--conf`.
    ///
    /// # Errors
    /// One without `=`: named by its place only, since it may hold a password.
    pub fn add_conf(&mut self, conf: &[String]) -> Result<(), UsageError> {
        for (number, pair) in (1..).zip(conf) {
            match pair.split_once('=') {
                Some((name, value)) if !name.trim().is_empty() => {
                    self.add(name.trim(), value.trim(), "--conf".to_owned());
                }
                _ => {
                    return Err(UsageError(format!(
                        "--conf number {number} is not NAME=VALUE"
                    )));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str, value: &str, place: String) {
        let value = value.to_owned();
        self.0.insert(name.to_owned(), Given { value, place });
    }

    /// Refuses unknown names among ours; says which others have no effect.
    pub fn check_names(&self) -> Result<Vec<String>, UsageError> {
        let mut warnings = Vec::new();
        for (name, Given { place, .. }) in &self.0 {
            let near = near(name)
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_default();
            if known::FIXED.contains(&name.as_str()) {
                continue;
            } else if let Some(variable) = name.strip_prefix(known::VAR_PREFIX) {
                if !is_variable_name(variable) {
                    return Err(UsageError(format!(
                        "{name} ({place}): a variable's name is letters, digits and _, and does not \
                         begin with a digit"
                    )));
                }
            } else if let Some(property) = name.strip_prefix(known::KAFKA_PREFIX) {
                if property.is_empty() {
                    return Err(UsageError(format!(
                        "{name} ({place}): the librdkafka property is missing"
                    )));
                }
            } else if name.starts_with(known::OUR_PREFIX) {
                let help = match near.is_empty() {
                    true => "; --help lists them".to_owned(),
                    false => near,
                };
                return Err(UsageError(format!(
                    "{name} ({place}) is not a property of StockPulse{help}"
                )));
            } else {
                warnings.push(format!("{name} ({place}) has no effect here{near}"));
            }
        }
        Ok(warnings)
    }

    /// The property of this name.
    pub fn get(&self, name: &str) -> Option<Property<'_>> {
        let (name, given) = self.0.get_key_value(name)?;
        Some(Property {
            value: &given.value,
            name,
            place: &given.place,
        })
    }

    /// The property of this name, as `meaning` reads it.
    pub fn read<T>(
        &self,
        name: &str,
        meaning: fn(&Property) -> Result<T, UsageError>,
    ) -> Result<Option<T>, UsageError> {
        self.get(name)
            .map(|property| meaning(&property))
            .transpose()
    }

    /// Names without their prefix, and values, of the properties that begin with `prefix`.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (String, String)> + 'a {
        self.0.iter().filter_map(move |(name, given)| {
            let rest = name.strip_prefix(prefix)?;
            Some((rest.to_owned(), given.value.clone()))
        })
    }
}

/// The property that `name` was meant to be; of ours only the part after the prefix counts.
fn near(name: &str) -> Option<&'static str> {
    let own_part = |name: &'static str| name.strip_prefix(known::OUR_PREFIX);
    match name.strip_prefix(known::OUR_PREFIX) {
        Some(wanted) => {
            let near = nearest(wanted, known::FIXED.into_iter().filter_map(own_part))?;
            known::FIXED
                .into_iter()
                .find(|name| own_part(name) == Some(near))
        }
        None => nearest(name, known::FIXED),
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
