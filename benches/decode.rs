//! Ticks a second through the decoder alone: `cargo bench --bench decode`.
//!
//! Finnhub frames of 5 ticks of 50 symbols into the columns of `sql/ohlc.sql`, in micro-batches of
//! 8,192 frames, on one thread. Prints the best and the median of the rounds.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use stockpulse::decode::{Decoder, Format};

const FRAMES: usize = 100_000;
const TICKS_PER_FRAME: usize = 5;
const BATCH_FRAMES: usize = 8_192;
const ROUNDS: usize = 7;

fn main() {
    println!("{FRAMES} frames of {TICKS_PER_FRAME} ticks, {ROUNDS} rounds, one thread");
    println!("{:<34} {:>12} {:>12}", "", "best", "median");
    measure("good frames", &frames(|_| false));
    measure(
        "one bad tick in every 100th frame",
        &frames(|frame| frame % 100 == 0),
    );
    measure("one bad tick in every frame", &frames(|_| true));
}

fn measure(name: &str, frames: &[String]) {
    let mut rates: Vec<f64> = (0..ROUNDS).map(|_| round(frames)).collect();
    rates.sort_by(f64::total_cmp);
    let (best, median) = (rates[ROUNDS - 1], rates[ROUNDS / 2]);
    println!("{name:<34} {best:>8.2} M/s {median:>8.2} M/s");
}

/// One pass over all frames: million ticks a second.
fn round(frames: &[String]) -> f64 {
    let tick = DataType::Struct(Fields::from(vec![
        Field::new("s", DataType::Utf8View, true),
        Field::new("p", DataType::Float64, true),
        Field::new("v", DataType::Float64, true),
        Field::new("t", DataType::Int64, true),
    ]));
    let data = Field::new_list("data", Field::new("item", tick, true), true);
    let schema = Arc::new(Schema::new(vec![data]));
    let mut decoder = Decoder::new(schema, Format::Json).expect("the columns have decoders");
    let mut rejects = Vec::new();
    let started = Instant::now();
    for batch in frames.chunks(BATCH_FRAMES) {
        for frame in batch {
            decoder.push(Some(frame.as_bytes()), &mut rejects);
        }
        black_box(decoder.finish());
        rejects.clear();
    }
    (frames.len() * TICKS_PER_FRAME) as f64 / started.elapsed().as_secs_f64() / 1e6
}

fn frames(bad: impl Fn(usize) -> bool) -> Vec<String> {
    (0..FRAMES)
        .map(|frame| {
            let ticks: Vec<_> = (0..TICKS_PER_FRAME)
                .map(|at| tick(frame * TICKS_PER_FRAME + at, bad(frame) && at == 2))
                .collect();
            format!("{{\"data\":[{}],\"type\":\"trade\"}}", ticks.join(","))
        })
        .collect()
}

/// Prices of two decimals, volumes of five, as crypto exchanges send them.
fn tick(number: usize, bad: bool) -> String {
    let mixed = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let (cents, units) = (mixed % 10_000_000, mixed % 9_999_999);
    let price = match bad {
        true => "\"-\"".to_owned(),
        false => format!("{}.{:02}", cents / 100, cents % 100),
    };
    let symbol = number / 7 % 50;
    let (whole, fraction) = (units / 100_000, units % 100_000);
    let time = 1_570_752_011_620 + number as u64 * 3;
    format!(
        "{{\"c\":null,\"p\":{price},\"s\":\"BINANCE:C{symbol:02}USDT\",\"t\":{time},\"v\":{whole}.{fraction:05}}}"
    )
}
