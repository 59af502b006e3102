//! Rows on standard output, for the eye or for the next program: an aligned table, or one JSON object a line.
//!
//! Nothing here waits for a commit: rows are printed before the checkpoint that knows of them, so a crash
//! in between prints them twice, and never not at all.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;

use super::json_lines::JsonLines;
use super::text_table::TextTable;
use super::{SinkError, SinkRows};

/// Where printed rows go: standard output, shared by all that print.
#[derive(Clone)]
pub struct Console(Arc<Mutex<Screen>>);

struct Screen {
    out: Box<dyn Write + Send>,
    /// Sinks that were opened.
    sinks: usize,
    /// Which of them printed last.
    printed_last: Option<usize>,
}

impl Console {
    /// A console that writes to `out`, and flushes it after every epoch's rows of an output.
    pub fn new(out: Box<dyn Write + Send>) -> Console {
        Console(Arc::new(Mutex::new(Screen {
            out,
            sinks: 0,
            printed_last: None,
        })))
    }

    /// This process's standard output.
    pub fn stdout() -> Console {
        Console::new(Box::new(io::stdout()))
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Console")
    }
}

/// How rows are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrintFormat {
    /// One JSON object a line, as Arroyo writes it: every column, nulls too; bytes as base64; a JSON column as it
    /// is.
    Json {
        /// Timestamps and dates as milliseconds since 1970 UTC, not as text.
        unix_millis: bool,
        /// Decimals as text, not as numbers.
        decimals_as_text: bool,
    },
    /// An aligned table, its header once.
    Table {
        /// The line above the header.
        heading: Option<String>,
    },
}

/// Prints the rows of one output.
#[derive(Debug)]
pub struct ConsoleSink {
    console: Console,
    number: usize,
    printer: Printer,
}

#[derive(Debug)]
enum Printer {
    Json(JsonLines),
    Table(TextTable),
}

impl ConsoleSink {
    /// Prints rows of `schema`.
    ///
    /// # Errors
    /// [`SinkError::Options`] for a column that cannot be printed in this format.
    pub fn new(
        console: Console,
        format: PrintFormat,
        schema: SchemaRef,
    ) -> Result<ConsoleSink, SinkError> {
        let printer = match format {
            PrintFormat::Json {
                unix_millis,
                decimals_as_text,
            } => Printer::Json(JsonLines::new(schema, unix_millis, decimals_as_text)?),
            PrintFormat::Table { heading } => Printer::Table(TextTable::new(&schema, heading)),
        };
        let number = {
            let mut screen = console.0.lock().expect("nobody panics while printing");
            screen.sinks += 1;
            screen.sinks
        };
        Ok(ConsoleSink {
            console,
            number,
            printer,
        })
    }

    /// Prints rows, and sees to it that they are out. Without rows nothing is printed.
    ///
    /// # Errors
    /// [`SinkError::Closed`] when nobody reads any more, [`SinkError::NotWritable`] for anything else.
    pub fn print(&mut self, rows: &[SinkRows]) -> Result<(), SinkError> {
        if rows.iter().all(|rows| rows.rows.num_rows() == 0) {
            return Ok(());
        }
        let mut screen = self.console.0.lock().expect("nobody panics while printing");
        let goes_on = screen.printed_last == Some(self.number);
        let is_first = screen.printed_last.is_none();
        screen.printed_last = Some(self.number);
        let text = match &mut self.printer {
            Printer::Json(lines) => lines.text(rows)?,
            Printer::Table(table) => {
                let table = table.text(rows, !goes_on);
                let gap = if goes_on || is_first { "" } else { "\n" };
                format!("{gap}{table}").into_bytes()
            }
        };
        let written = screen.out.write_all(&text);
        written
            .and_then(|()| screen.out.flush())
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => SinkError::Closed,
                _ => SinkError::NotWritable(format!("cannot write to standard output: {error}")),
            })
    }
}
