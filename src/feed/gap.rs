//! A gap: trades of one symbol that were made and did not reach the topic, as far as that is known.

use std::sync::Arc;

use serde::Serialize;

/// Ids are missing within a session: the venue left them out, or sent what could not be read.
pub const SKIPPED: &str = "skipped";
/// The venue's ids jumped or began anew: how many trades are missing cannot be told.
pub const RENUMBERED: &str = "renumbered";
/// The queue to Kafka was full, and the newest ticks were dropped.
pub const QUEUE_FULL: &str = "queue_full";
/// Kafka can never take the message, because of its length most often.
pub const NOT_TAKEN: &str = "not_taken";

/// Trades that are missing, or that came after all. Its JSON is the record in the side topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// `gap`, or `recovered` for trades of an earlier record that came after all.
    #[serde(rename = "type")]
    pub kind: GapKind,
    /// The feed's name.
    pub feed: &'static str,
    /// The symbol, as the topic names it.
    pub symbol: Arc<str>,
    /// Nothing is missing up to here: event time of the last tick before where it is known, else when the
    /// feed was last heard; milliseconds since 1970 UTC.
    pub from: Option<i64>,
    /// Nothing is missing from here on, in the same way.
    pub to: Option<i64>,
    /// A [`super::LossReason`]'s label, or one of this file's constants.
    pub reason: &'static str,
    /// How many trades; `None`: the venue has no ids, so it cannot be told.
    pub missing: Option<u64>,
    /// Lowest id missing; as text, as ids are in frames.
    #[serde(serialize_with = "as_text")]
    pub first_id: Option<u64>,
    /// Highest id missing.
    #[serde(serialize_with = "as_text")]
    pub last_id: Option<u64>,
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GapKind {
    /// Trades are missing.
    Gap,
    /// Trades that an earlier record called missing have come.
    Recovered,
}

impl Gap {
    /// The record's JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and text are always JSON")
    }

    /// Takes in another gap of the same feed, symbol and reason, which follows this one.
    pub fn extend(&mut self, later: &Gap) {
        self.from = self.from.into_iter().chain(later.from).min();
        self.to = self.to.into_iter().chain(later.to).max();
        self.missing = match (self.missing, later.missing) {
            (Some(missing), Some(more)) => Some(missing.saturating_add(more)),
            _ => None,
        };
        self.first_id = self.first_id.into_iter().chain(later.first_id).min();
        self.last_id = self.last_id.into_iter().chain(later.last_id).max();
    }
}

fn as_text<S: serde::Serializer>(id: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.collect_str(id),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_flat_json_and_ids_are_text() {
        let mut gap = Gap {
            kind: GapKind::Gap,
            feed: "binance",
            symbol: "BINANCE:BTCUSDT".into(),
            from: Some(1_700_000_000_000),
            to: Some(1_700_000_001_000),
            reason: QUEUE_FULL,
            missing: Some(2),
            first_id: Some(7),
            last_id: Some(8),
        };
        expect_test::expect![[r#"{"type":"gap","feed":"binance","symbol":"BINANCE:BTCUSDT","from":1700000000000,"to":1700000001000,"reason":"queue_full","missing":2,"first_id":"7","last_id":"8"}"#]]
            .assert_eq(&gap.to_json());
        let later = Gap {
            to: Some(1_700_000_002_000),
            missing: Some(1),
            first_id: Some(12),
            last_id: Some(12),
            ..gap.clone()
        };
        gap.extend(&later);
        assert_eq!(
            (gap.missing, gap.first_id, gap.last_id),
            (Some(3), Some(7), Some(12))
        );
        assert_eq!(gap.to, Some(1_700_000_002_000));
    }
}
