//! HTTP: what StockPulse knows, for programs and browsers.
//!
//! [`run`] is the whole of `stockpulse-api`; [`bind`] and [`serve`] are for who has a process already, as
//! the demo. `routes` lists every path; `guard` is what each request passes first; `live` is what happens now.

mod assets;
mod candles;
mod connections;
mod formats;
mod guard;
mod live;
mod params;
mod refusal;
mod routes;
mod serve;
mod sql;
mod stream;
mod symbols;
mod udf;

pub use serve::{ApiError, SHUTDOWN_GRACE, bind, run, serve};
