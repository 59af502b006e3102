//! Object stores: a URL and its options → [`Objects`], which puts, copies, lists and removes objects by key.
//!
//! The sinks and the checkpoint are made of these requests, and nothing else in those rooms talks to a store: the
//! places where a process can be stopped between two requests are all here. A [`Watch`] hears of each before and
//! after it, and can refuse it either way: so tests stop a job at every one of them, and lose every answer.
//!
//! No message repeats what a store or its client says word for word, since both quote requests: see `error`.

mod address;
mod error;
mod open;
mod owner;
mod requests;
mod watch;

pub use address::Address;
pub use error::StoreError;
pub use open::{StorageOptions, Stores};
pub use owner::Owner;
pub use requests::{Object, Objects};
pub use watch::{Request, Watch};
