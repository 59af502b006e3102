//! Watermarks, which windows are open, lateness, replay points. Pure: no I/O, no clock; the wall
//! time is passed in.
//!
//! [`Windows`] says which windows an event time is in; [`Progress`] follows one topic partition
//! through its frames; [`closing_watermark`] says, over all partitions, which windows are closed.

mod closing;
mod progress;
mod windows;

pub use closing::{Quiet, Standing, closing_watermark};
pub use progress::{OpenWindow, Progress};
pub use windows::Windows;
