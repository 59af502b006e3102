//! One test binary, so that DataFusion is linked once.

mod api;
mod read;
