//! `spark.*` properties: where they come from and which there are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::IngestArgs;
use super::{UsageError, known};
use crate::config::kafka::KafkaProperties;
use crate::model::nearest;

/// Properties by name. Deliberately without `Debug`: a value may be a password.
#[derive(Default)]
pub(super) struct Properties(BTreeMap<String, Given>);

struct Given {
    value: String,
    /// `--conf`, or the file and line.
    place: String,
}

/// A property that is given, or the flag that beats it.
pub(super) struct Property<'a> {
    pub value: &'a str,
    name: &'a str,
    /// `None`: it is a flag.
    place: Option<&'a str>,
}

impl std::fmt::Display for Property<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place {
            Some(place) => write!(f, "{} ({place})", self.name),
            None => f.write_str(self.name),
        }
    }
}

impl Property<'_> {
    /// What is wrong with the value, and what would be right.
    pub fn wrong(&self, wanted: &str) -> UsageError {
        UsageError(format!("{self} is \"{}\"; it must be {wanted}", self.value))
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
            let hint = |table: &[(&'static str, &'static str)]| {
                let entry = table.iter().find(|(entry, _)| known::fits(entry, name));
                entry.map(|(_, instead)| *instead)
            };
            if all_names().any(|known| known == name) {
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
            } else if let Some(instead) = hint(&known::REFUSED) {
                return Err(UsageError(format!(
                    "{name} ({place}) is not for StockPulse: {instead}"
                )));
            } else if let Some(instead) = hint(&known::WITHOUT_EFFECT) {
                warnings.push(format!("{name} ({place}) has no effect here: {instead}"));
            } else if name.starts_with(known::OUR_PREFIX) {
                let help = near(name).unwrap_or_else(|| "; --help lists them".to_owned());
                return Err(UsageError(format!(
                    "{name} ({place}) is not a property of StockPulse{help}"
                )));
            } else {
                let near = near(name).unwrap_or_default();
                warnings.push(format!("{name} ({place}) has no effect here{near}"));
            }
        }
        Ok(warnings)
    }

    /// The property of this name, or of its other one.
    pub fn get(&self, name: &str) -> Option<Property<'_>> {
        let other = (known::ALIASES.iter()).find(|(_, canonical)| *canonical == name);
        let given = self.0.get_key_value(name);
        let (name, given) = given.or_else(|| self.0.get_key_value(other?.0))?;
        Some(Property {
            value: &given.value,
            name,
            place: Some(&given.place),
        })
    }

    /// What the flag says, else the property that is its other name.
    pub fn flag_or<'a>(
        &'a self,
        flag: Option<&'a str>,
        flag_name: &'static str,
        name: &str,
    ) -> Option<Property<'a>> {
        let flag = flag.map(|value| Property {
            value: value.trim(),
            name: flag_name,
            place: None,
        });
        flag.or_else(|| self.get(name))
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

fn all_names() -> impl Iterator<Item = &'static str> {
    let aliases = known::ALIASES.iter().map(|(name, _)| *name);
    known::PROPERTIES
        .iter()
        .map(|(name, _)| *name)
        .chain(aliases)
}

/// The end of a sentence that says which property `name` was meant to be. Of ours only the part after the prefix
/// counts, which is also how Spark's readStream calls its options.
fn near(name: &str) -> Option<String> {
    let own_part = |name: &'static str| name.strip_prefix(known::OUR_PREFIX);
    let meant = match (name.strip_prefix(known::OUR_PREFIX), name) {
        (Some(own), _) => nearest(own, all_names().filter_map(own_part))
            .map(|near| format!("{}{near}", known::OUR_PREFIX)),
        (None, name) if name.starts_with("kafka.") => Some(format!("spark.{name}")),
        (None, name) => {
            let option = all_names().find(|known| own_part(known) == Some(name));
            option
                .or_else(|| nearest(name, all_names()))
                .map(str::to_owned)
        }
    };
    meant.map(|meant| format!("; did you mean {meant}?"))
}

/// Whether a property of this name does anything.
pub(super) fn has_effect(name: &str) -> bool {
    let families = [known::KAFKA_PREFIX, known::VAR_PREFIX];
    all_names().any(|known| known == name) || families.iter().any(|family| name.starts_with(family))
}

/// Whether a property's value is not to be shown.
pub(super) fn is_secret(name: &str) -> bool {
    name.starts_with(known::VAR_PREFIX) || KafkaProperties::is_secret(name)
}

/// Whether the SQL file can have a variable of this name.
pub(super) fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The texts of the properties files, each with what messages call it; a later one beats an earlier one. Of Spark's
/// own defaults, if they are asked for, and of `--properties-file`.
///
/// # Errors
/// One that was named cannot be read, or there are no defaults.
pub fn read_properties_files(
    args: &IngestArgs,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(PathBuf, String)>, UsageError> {
    let mut files = Vec::new();
    if args.load_spark_defaults {
        let set = |name| environment(name).filter(|value| !value.is_empty());
        let folder = set("SPARK_CONF_DIR").map(PathBuf::from);
        let folder = folder.or_else(|| Some(Path::new(&set("SPARK_HOME")?).join("conf")));
        let Some(folder) = folder else {
            return Err(UsageError(
                "--load-spark-defaults: neither SPARK_CONF_DIR nor SPARK_HOME is set, so there is no spark-defaults.conf to read; name a file by --properties-file".to_owned(),
            ));
        };
        files.push(("--load-spark-defaults", folder.join("spark-defaults.conf")));
    }
    let told = args.properties_file.clone();
    files.extend(told.map(|path| ("--properties-file", path)));
    let read = files.into_iter().map(|(flag, path)| {
        let text = std::fs::read_to_string(&path).map_err(|error| {
            UsageError(format!("{flag} {} cannot be read: {error}", path.display()))
        })?;
        Ok((path, text))
    });
    read.collect()
}
