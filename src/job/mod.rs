//! The loop over the rooms: the one page that shows an epoch in order.
pub mod progress;
