//! The job stopped at every step that it does on the disk, by a crash or by a power cut, and started again: in
//! the end there is what a plain function over the same ticks gives, each row once, bit for bit.
//!
//! Every effect of a job is a `Step` of its `Disk` or the telling of the offsets, one after the other, so to be
//! stopped before a step is to be stopped after the one before it.

pub mod delta;
mod matrix;
mod model;
mod power;
mod rebuild;
mod scene;
mod steps;
mod watch;

pub use matrix::folder;
pub use model::{Disk as ModelDisk, files_of, write};
pub use scene::rows;
pub use watch::{At, Done, Stop};
