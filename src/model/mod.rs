//! The words every room shares: where we are in a topic, what time it is in the data,
//! which window, why a frame was refused, and how a process ends. Pure: no I/O, no clock.

mod exit;
mod json_mark;
mod nearest;
mod position;
mod reject;
mod time;

pub use exit::Exit;
pub use json_mark::{EXTENSION_NAME_KEY, JSON_EXTENSION};
pub use nearest::nearest;
pub use position::{Epoch, FrameRef, Offsets, Partition};
pub use reject::{Counts, Reject, RejectReason};
pub use time::{NANOS_PER_MILLI, NANOS_PER_SECOND, Watermark, Window, parse_duration};
