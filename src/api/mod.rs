//! HTTP: what StockPulse knows, for programs and browsers.
//!
//! [`run`] is the whole of `stockpulse-api`; [`bind`] and [`serve`] are for who has a process
//! already, as the demo.

mod routes;
mod serve;

pub use serve::{ApiError, SHUTDOWN_GRACE, bind, run, serve};
