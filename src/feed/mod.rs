//! Exchanges: subscribe frames in, Finnhub-shaped frames out.
