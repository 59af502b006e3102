//! What a server, or the way to it, answers → what the job does about it and what a person reads. Made of the answer's
//! own fields, so that nothing of how we log in is ever in it.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::tls::{self, TlsFault};
use crate::sink::{Peer, SinkError};

/// A value of a row is shown up to here.
const LONGEST_VALUE_CHARS: usize = 80;
/// A sentence of the server's is shown up to here.
const LONGEST_WORDS_CHARS: usize = 400;

/// Which server, database and table, and who asks, for messages.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// `db:5432`
    pub servers: String,
    /// The database.
    pub database: String,
    /// Who logs in.
    pub user: String,
    /// Its schema, as it is.
    pub schema: String,
    /// `public.ohlc_candles`, for people.
    pub table: String,
    /// The table's name in the SQL.
    pub sink: String,
    /// The declaration that the SQL stands for.
    pub ddl: String,
    /// What marks the epoch that is being sent as done without its rows; empty where none is.
    pub leave_out: String,
}

/// Why a step was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server, or the way to it.
    Postgres(Error),
    /// Nothing came for so long.
    Silent(Duration),
    /// It is known already what is said.
    Sink(SinkError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Postgres(error)
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Failure {
        Failure::Sink(error)
    }
}

impl Place {
    /// `PostgreSQL at db:5432, database market`
    pub(super) fn server(&self) -> String {
        format!("PostgreSQL at {}, database {}", self.servers, self.database)
    }

    /// Says it. `doing` is what was being done: `log in`; `ran` whether the job has written there before, when a login
    /// that is refused may be one that is just being changed.
    pub(super) fn explain(&self, doing: &str, failure: Failure, ran: bool) -> SinkError {
        match failure {
            Failure::Sink(error) => error,
            Failure::Silent(limit) => self.away(doing, &format!("no answer for {limit:.0?}")),
            Failure::Postgres(error) => match error.as_db_error() {
                Some(answer) => self.answered(doing, answer, ran),
                None => self.unanswered(doing, &error),
            },
        }
    }

    pub(super) fn away(&self, doing: &str, why: &str) -> SinkError {
        SinkError::Away {
            peer: Peer::Other,
            why: format!("{}: cannot {doing}: {why}", self.server()),
        }
    }

    fn unanswered(&self, doing: &str, error: &Error) -> SinkError {
        let mut inner = error.source();
        while let Some(source) = inner {
            if let Some(fault) = source.downcast_ref::<TlsFault>() {
                return self.refused(&fault.0);
            }
            if let Some(fault) = source
                .downcast_ref::<io::Error>()
                .and_then(|error| error.get_ref())
                .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            {
                return match tls::refusal(fault) {
                    Some(why) => self.refused(&why),
                    None => self.away(doing, &format!("TLS: {fault}")),
                };
            }
            inner = source.source();
        }
        let reason = error.source().map(ToString::to_string);
        let text = error.to_string();
        match reason.as_deref() {
            Some("server does not support TLS") => {
                self.refused("the server offers no TLS, and the URL's sslmode wants it; sslmode=disable, or prefer, goes without")
            }
            // It asks for one and got none, or for a kind that is not ours.
            _ if text.starts_with("authentication error") || text == "invalid configuration" => {
                let reason = reason.unwrap_or(text);
                self.refused(&format!("user {} cannot log in: {reason}; the password is the URL's, the option 'password', or the environment's PGPASSWORD", self.user))
            }
            Some(reason) => self.away(doing, &short(reason, LONGEST_WORDS_CHARS)),
            None => self.away(doing, &text),
        }
    }

    fn refused(&self, why: &str) -> SinkError {
        SinkError::NotWritable(format!("{}: {why}", self.server()))
    }

    fn answered(&self, doing: &str, answer: &DbError, ran: bool) -> SinkError {
        let code = answer.code();
        let words = words(answer);
        let Place { table, user, .. } = self;
        match code.code() {
            _ if is_away(code) => self.away(doing, &words),
            "25006" => self.away(doing, &format!("{words}: a standby? The URL's target_session_attrs=read-write passes over one")),
            "28P01" | "28000" if ran => self.away(doing, &words),
            "28P01" | "28000" => self.refused(&format!(
                "user {user} is not let in: {words}. The password is the URL's, the option 'password', or the environment's PGPASSWORD"
            )),
            "3D000" => self.refused(&format!("{words}; create it (CREATE DATABASE), or name another in the URL")),
            "42501" => self.refused(&format!(
                "user {user} may not {doing}: {words}. The owner gives the right:\n{}",
                self.grants()
            )),
            "42P01" | "3F000" | "42703" | "42704" | "42804" | "42P10" => self.refused(&format!(
                "table {table} is not as the SQL has it: {words}. It was changed while the job ran, or before; it should be\n{}",
                self.ddl
            )),
            class if class.starts_with("22") || class.starts_with("23") => self.refused(&format!(
                "table {table} does not take a row: {words}. {}",
                self.way_out()
            )),
            _ => self.refused(&format!("cannot {doing}: {words} (SQLSTATE {})", code.code())),
        }
    }

    /// What can be done about rows that are committed and that the table refuses.
    pub(super) fn way_out(&self) -> String {
        let leave_out = match self.leave_out.as_str() {
            "" => String::new(),
            sql => format!(". Or leave this epoch's rows of the table out, all of them:\n  {sql};"),
        };
        format!(
            "The epoch is committed, its rows wait beside the checkpoint. Change the table so that it takes them (ALTER TABLE {}), then start again: they are sent first{leave_out}",
            self.table
        )
    }

    /// What the user needs.
    pub(super) fn grants(&self) -> String {
        let schema = &self.schema;
        format!(
            "  GRANT USAGE ON SCHEMA {schema} TO {user};\n  GRANT SELECT, INSERT, UPDATE ON {table}, {schema}.stockpulse_epochs TO {user};\n  GRANT TEMPORARY ON DATABASE {database} TO {user};",
            user = self.user,
            table = self.table,
            database = self.database,
        )
    }
}

/// Trying again may help: the server is going down or coming up, is full, or somebody else is in the way.
fn is_away(code: &SqlState) -> bool {
    const CODES: [&str; 15] = [
        "57P01", "57P02", "57P03", "57P05", "57014", "53000", "53100", "53200", "53300", "53400",
        "40001", "40P01", "55P03", "25P03", "25P02",
    ];
    let code = code.code();
    code.starts_with("08") || code.starts_with("58") || CODES.contains(&code)
}

/// The server's own sentence, with where it was and which values.
fn words(answer: &DbError) -> String {
    let mut text = short(answer.message(), LONGEST_WORDS_CHARS);
    let mut also = |what: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !text.contains(value)) {
            // Writing to a string cannot fail.
            let value = short(value.trim_end_matches('.'), LONGEST_WORDS_CHARS);
            let _ = write!(text, "; {what}{value}");
        }
    };
    also("column ", answer.column());
    also("constraint ", answer.constraint());
    also("", answer.detail());
    // `COPY stockpulse_rows, line 3, column a: "abc"`
    let copied = answer.where_().filter(|place| place.starts_with("COPY "));
    also("", copied.and_then(|place| place.lines().next()));
    text
}

/// The line of the staged file that the server names.
pub(super) fn copied_line(error: &Error) -> Option<usize> {
    let place = error.as_db_error()?.where_()?;
    let (_, behind) = place.strip_prefix("COPY ")?.split_once(", line ")?;
    let digits = behind.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// A value as it is shown.
pub(super) fn shown_value(value: &str) -> String {
    short(value, LONGEST_VALUE_CHARS)
}

fn short(text: &str, most: usize) -> String {
    let line = text.replace(['\n', '\r'], " ");
    match line.char_indices().nth(most) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}
