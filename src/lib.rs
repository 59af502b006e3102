//! StockPulse turns live market ticks into exact candles with SQL.
//!
//! The rooms, in the order a tick walks through them:
//!
//! | room | job |
//! |---|---|
//! | [`model`] | the shared words: offsets, watermark, window, frame, exit status; pure |
//! | [`config`] | every flag and environment variable |
//! | [`metrics`] | every metric, a method each |
//! | [`feed`] | exchanges: subscribe frames in, Finnhub-shaped frames out |
//! | [`health`] | liveness, readiness and metrics of a running program over HTTP |
//! | [`producer`] | feed → Kafka topic |
//! | [`source`] | Kafka topic → frames with exact offsets |
//! | [`decode`] | frames → Arrow, by the table's declared schema |
//! | [`query`] | SQL file → job |
//! | [`window`] | watermarks, open windows, lateness, replay points; pure |
//! | [`runtime`] | the one runtime of what talks to servers |
//! | [`objects`] | object stores, request by request |
//! | [`disk`] | every step on the disk that must survive a crash |
//! | [`sink`] | closed windows → Parquet: stage, publish |
//! | [`checkpoint`] | what has durably happened |
//! | [`job`] | the loop over the rooms above |
//! | [`page`] | the page of a running job |
//! | [`submit`] | spark-submit's command line |
//! | [`candles`] | Parquet files → rows |
//! | [`api`] | HTTP |
//! | [`broker`] | the embedded broker for demo and tests |
//! | [`demo`] | the whole pipeline in one process |
//! | [`testing`] | a user's own tests for their SQL |
//! | [`bench`] | how fast the job is beside a bare consumer |
//!
//! [`bench`]: mod@bench

pub mod model;

pub mod config;
pub mod metrics;

pub mod feed;
pub mod health;
pub mod producer;

pub mod checkpoint;
pub mod decode;
pub mod disk;
pub mod job;
pub mod objects;
pub mod page;
pub mod query;
pub mod runtime;
pub mod sink;
pub mod source;
pub mod submit;
pub mod window;

pub mod api;
pub mod bench;
pub mod broker;
pub mod candles;
pub mod demo;
pub mod testing;
