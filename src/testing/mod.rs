//! A user's own tests for their SQL: `stockpulse test DIR...`.
//!
//! A case is a folder with a SQL file, ticks, and the rows that must come out. The job runs in this
//! process, over the ticks in memory and into a temporary folder, once for every `regime`: whatever the
//! batches, threads, restarts and partitions, the rows must be the same. Beside a tick's way: nothing else
//! imports this room.
//!
//! `find` finds the cases, `case` and `ticks` read one, `run` runs it under one regime, `output` reads
//! what came out as text (`rows`), `check` compares (`diff`) and writes expected files anew, `command`
//! is the command line.

mod case;
mod check;
mod command;
mod diff;
mod find;
mod output;
mod regime;
mod rows;
mod run;
mod ticks;

pub use command::{Options, Outcome, run, test};
pub use find::cases;
pub use output::files_below;
pub use rows::row_text;
