//! The job's loop over a simulated broker, clock and disk, all from one seed: whatever goes wrong in between, in
//! the end every tick is in its candle or in the dead letters, once.
//!
//! `STOCKPULSE_SIM_SEEDS=N` tries so many seeds; a failure names its seed, and `STOCKPULSE_TEST_SEED` runs that
//! one again, step by step the same.

mod disk;
mod life;
mod market;
mod oracle;
mod topic;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds that are tried, unless told otherwise.
const SEEDS: u64 = 1_000;
/// Threads that try them.
const THREADS: usize = 2;

#[test]
fn whatever_goes_wrong_every_tick_is_accounted_for_once() {
    let named = std::env::var("STOCKPULSE_TEST_SEED").ok();
    let seeds = std::env::var("STOCKPULSE_SIM_SEEDS").ok();
    let seeds = seeds.map_or(SEEDS, |seeds| seeds.parse().unwrap());
    if let Some(seed) = named {
        let seen = life::simulate(seed.parse().unwrap()).unwrap();
        eprintln!("{seen:#?}");
        return;
    }
    let next = AtomicU64::new(0);
    let work = || {
        let (mut seen, mut wrong) = (life::Seen::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds || !wrong.is_empty() {
                return (seen, wrong);
            }
            match life::simulate(seed) {
                Ok(more) => seen.add(&more),
                Err(what) => wrong.push(format!("STOCKPULSE_TEST_SEED={seed}: {what}")),
            }
        }
    };
    let (mut seen, mut wrong) = (life::Seen::default(), Vec::new());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let (more, what) = thread.join().unwrap();
            seen.add(&more);
            wrong.extend(what);
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    eprintln!("{seeds} seeds: {seen:#?}");
    // What is to be tried was tried.
    assert!(seeds < SEEDS || seen.saw_everything(), "{seen:#?}");
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    for seed in [3, 17, 40] {
        assert_eq!(life::simulate(seed), life::simulate(seed), "seed {seed}");
    }
}
