//! Parquet files → rows, pruned by symbol and time.
//!
//! [`scan`] reads a folder once; [`read`] is the whole of `stockpulse read`; a [`Session`] runs SQL over a folder
//! as datafusion-cli does. A [`Store`] is a folder that is read again and again while files come: one symbol's
//! [`Series`] in any [`Resolution`], its symbols; a [`Follower`] tells what is new.

mod encode;
mod error;
mod files;
mod fill;
mod follow;
mod output;
mod read;
mod recent;
mod resolution;
mod rows;
mod scan;
mod series;
mod session;
mod sql;
mod store;
mod symbols;
mod table;

pub use encode::Encoder;
pub use error::CandlesError;
pub use fill::{FILLED_ROWS_MAX, Fill};
pub use follow::{Follower, News};
pub use read::read;
pub use resolution::Resolution;
pub use rows::{Candle, candles, merged};
pub use scan::{Filter, Scan, scan};
pub use series::Series;
pub use session::Session;
pub use sql::{ReadOnlySql, SqlError, SqlRows};
pub use store::{Shape, Store};
pub use symbols::SymbolSpan;
