//! What is wrong with a store, in words: each ends with 7, says what to do, and shows no secret.

use super::{Market, turn};
use crate::support::shipped::{Ended, Run};

/// A job that must not get anywhere.
fn refused(market: &Market, run: Run) -> Ended {
    let ended = run.arguments(&["--available-now"]).end();
    assert_eq!(ended.code, Some(7), "{}", ended.said);
    for secret in [&market.bucket.secret, "another-secret"] {
        assert!(!ended.said.contains(secret), "{}", ended.said);
    }
    ended
}

#[test]
fn a_bucket_that_is_not_there_is_named() {
    let _turn = turn();
    let market = Market::new();
    let url = format!("s3::{}/nobody/ohlc", market.bucket.address);
    let run = market.job().conf("spark.stockpulse.var.CANDLES_PATH", &url);
    let ended = refused(&market, run);
    assert!(
        ended.said.contains("/nobody; make it, or name another one"),
        "{}",
        ended.said
    );
}

#[test]
fn a_wrong_key_and_a_wrong_secret_are_told_apart_from_a_store_that_is_away() {
    let _turn = turn();
    let market = Market::new();
    let run = market.job().env("AWS_SECRET_ACCESS_KEY", "another-secret");
    let ended = refused(&market, run);
    assert!(
        ended.said.contains("secret key is not the one")
            || ended.said.contains("refuses the credentials"),
        "{}",
        ended.said
    );
    let run = market.job().env("AWS_ACCESS_KEY_ID", "somebody");
    let ended = refused(&market, run);
    assert!(
        ended.said.contains("does not know the access key")
            || ended.said.contains("refuses the credentials"),
        "{}",
        ended.said
    );
}

#[test]
fn a_server_that_nobody_listens_for_is_tried_for_half_a_minute() {
    let market = Market::new();
    let run = market.job().conf(
        "spark.stockpulse.var.CANDLES_PATH",
        "s3::http://127.0.0.1:9/ticks/ohlc",
    );
    let ended = refused(&market, run);
    assert!(
        ended.said.contains("it is tried again for 30s"),
        "{}",
        ended.said
    );
    assert!(ended.said.contains("Connection refused"), "{}", ended.said);
}
