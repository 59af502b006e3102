//! Parquet files → rows, pruned by symbol and time.
//!
//! [`scan`] is the way in for the rest of the program; [`read`] is the whole of `stockpulse read`; a [`Session`]
//! runs SQL over a folder as datafusion-cli does.

mod encode;
mod error;
mod output;
mod read;
mod scan;
mod session;
mod table;

pub use error::CandlesError;
pub use read::read;
pub use scan::{Filter, Scan, scan};
pub use session::Session;
