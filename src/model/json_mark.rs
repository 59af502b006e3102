//! How a text column that holds JSON documents is marked: Arrow's canonical extension type.

/// Key of the field metadata.
pub const EXTENSION_NAME_KEY: &str = "ARROW:extension:name";
/// Its value for JSON text.
pub const JSON_EXTENSION: &str = "arrow.json";
