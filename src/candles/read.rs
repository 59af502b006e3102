//! `stockpulse read`: files → rows → bytes → output, a batch at a time.

use std::io;
use std::process::ExitCode;

use arrow::error::ArrowError;
use futures::StreamExt;

use super::encode::Encoder;
use super::output::Output;
use super::{CandlesError, Filter, scan};
use crate::config::stockpulse::{ReadArgs, ReadFormat};
use crate::model::Exit;

/// Rows of a table when no limit is given: it is held in memory, and meant for the eye.
const TABLE_ROWS: usize = 1000;

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Candles(#[from] CandlesError),
    #[error("a column cannot be written in this format: {0}; try --format table or ndjson")]
    Format(#[from] ArrowError),
    #[error("{target} cannot be written: {error}")]
    Output { target: String, error: io::Error },
    #[error("the runtime cannot be started: {0}")]
    Runtime(io::Error),
}

/// Writes the rows that `args` asks for, to standard output or to a file.
///
/// Ends with 0 also when the reader of the output goes away (`| head`), 2 when the table lacks a
/// column to filter by, 7 when the output cannot be written, else 1; the reason is on standard error.
pub fn read(args: &ReadArgs) -> ExitCode {
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ReadError::Runtime)
        .and_then(|runtime| runtime.block_on(copy_rows(args)));
    let error = match ended {
        Ok(()) => return Exit::Done.into(),
        Err(ReadError::Output { error, .. }) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Exit::Done.into();
        }
        Err(error) => error,
    };
    eprintln!("error: {error}");
    match error {
        ReadError::Candles(CandlesError::Filter(_)) => Exit::Usage.into(),
        ReadError::Output { .. } => Exit::NotWritable.into(),
        _ => Exit::Failed.into(),
    }
}

async fn copy_rows(args: &ReadArgs) -> Result<(), ReadError> {
    let not_writable = |error| ReadError::Output {
        target: args.output.as_ref().map_or_else(
            || "standard output".to_string(),
            |target| target.display().to_string(),
        ),
        error,
    };
    let cut_at = (args.format == ReadFormat::Table && args.limit.is_none()).then_some(TABLE_ROWS);
    let filter = Filter {
        symbols: args.symbol.clone(),
        from: args.from,
        to: args.to,
        // One more, to know whether there are more.
        limit: args.limit.or(cut_at.map(|rows| rows + 1)),
    };
    let mut scan = scan(&args.path, &filter).await?;
    let mut output = Output::open(args.output.as_deref()).map_err(not_writable)?;
    let mut encoder = Encoder::new(args.format, scan.schema)?;
    let mut left = cut_at.unwrap_or(usize::MAX);
    while let Some(batch) = scan.batches.next().await {
        let batch = batch?;
        if batch.num_rows() > left {
            eprintln!("the first {TABLE_ROWS} rows; --limit ROWS shows more");
        }
        let batch = batch.slice(0, batch.num_rows().min(left));
        left -= batch.num_rows();
        output
            .write_all(&encoder.push(batch)?)
            .map_err(not_writable)?;
    }
    output.write_all(&encoder.finish()?).map_err(not_writable)?;
    output.finish().map_err(not_writable)
}
