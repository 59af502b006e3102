//! A watermark in a document for people: nanoseconds as the truth, the same in UTC beside them, and
//! `null` for "none yet".

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::Watermark;

#[derive(Serialize, Deserialize)]
struct Instant {
    ns: i64,
    /// Deliberately not read back: `ns` is what counts.
    #[serde(default)]
    utc: String,
}

pub(super) fn serialize<S: Serializer>(
    watermark: &Watermark,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let instant = (*watermark != Watermark::NONE).then(|| Instant {
        ns: watermark.0,
        utc: DateTime::from_timestamp_nanos(watermark.0)
            .to_rfc3339_opts(SecondsFormat::AutoSi, true),
    });
    instant.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Watermark, D::Error> {
    let instant = Option::<Instant>::deserialize(deserializer)?;
    Ok(instant.map_or(Watermark::NONE, |instant| Watermark(instant.ns)))
}
