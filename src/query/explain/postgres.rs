//! What is said of a table of PostgreSQL.

use super::super::plan::Output;
use super::super::postgres_table::{doubtful_key, postgres_declaration};
use super::super::sql::PostgresSinkOptions;
use super::Section;
use crate::config::postgres::SslMode;

/// A table of PostgreSQL; nothing of how it is logged in to but the name.
pub(super) fn postgres(section: &mut Section, output: &Output, options: &PostgresSinkOptions) {
    let user = options.url.user.as_deref().unwrap_or_default();
    let password = match &options.url.password {
        Some(_) => "with a password (not shown)",
        None => "without a password",
    };
    section.say("login", format!("{user}, {password}"));
    let tls = match options.url.ssl_mode {
        SslMode::Disable => "none (sslmode=disable)",
        SslMode::Prefer => "if the server offers it, whoever it is (sslmode=prefer)",
        SslMode::Require => "always, whoever the server is (sslmode=require)",
        SslMode::VerifyCa => {
            "always; the certificate is looked at, not the name (sslmode=verify-ca)"
        }
        SslMode::VerifyFull => "always; certificate and name are looked at (sslmode=verify-full)",
    };
    section.say("TLS", tls);
    let key: Vec<&str> = (output.primary_key.iter())
        .map(|&at| output.schema.field(at).name().as_str())
        .collect();
    section.say(
        "key",
        match key.is_empty() {
            true => "none: rows are appended, each once".to_owned(),
            false => format!(
                "{}: a row takes the place of the one with its key",
                key.join(", ")
            ),
        },
    );
    if let Some(why) = doubtful_key(output) {
        section.say("WARNING", why);
    }
    section.say(
        "exactly once",
        "an epoch's rows and its number in stockpulse_epochs are one transaction, after the commit of the checkpoint",
    );
    let created = match options.create_table {
        true => "made like this if it is not there:",
        false => "must be there (or --create-tables), as this would make it:",
    };
    let declaration = postgres_declaration(output, options);
    let lines = declaration.lines().map(str::to_owned);
    let lines = std::iter::once(created.to_owned()).chain(lines);
    section.list("table", lines.collect(), "nothing");
}
