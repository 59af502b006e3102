//! What is varied, and what stays as it is meanwhile. Pure.

use crate::bench::sql::{OHLC, with_inserts, with_windows};
use crate::bench::topic::Content;
use crate::config::bench::{BenchAxis, BenchCompression};

/// Width of the windows where many are open, seconds: six hours of ticks are 1080 of them.
const NARROW_S: u64 = 20;
/// Least delay of a watermark that makes no tick late, seconds.
const LEAST_DELAY_S: u64 = 2;

/// One row: a topic and a job.
pub(super) struct Setting {
    pub(super) axis: BenchAxis,
    /// What it is varied to.
    pub(super) value: String,
    pub(super) content: Content,
    pub(super) master: String,
    pub(super) sql: String,
}

impl Setting {
    /// As the option --axis has it, in words.
    pub(super) fn axis_name(&self) -> String {
        self.axis.name().replace('-', " ")
    }
}

/// What is in the topic where nothing of it is varied.
pub(super) fn base(ticks: u64) -> Content {
    Content {
        ticks,
        partitions: 4,
        symbols: 50,
        ticks_per_frame: 5,
        compression: BenchCompression::Lz4,
    }
}

/// The rows of these axes, of all if there are none.
pub(super) fn settings(ticks: u64, axes: &[BenchAxis]) -> Vec<Setting> {
    let axes = match axes.is_empty() {
        true => BenchAxis::all(),
        false => axes,
    };
    axes.iter().flat_map(|&axis| along(axis, ticks)).collect()
}

fn along(axis: BenchAxis, ticks: u64) -> Vec<Setting> {
    let plain = |value: String| Setting {
        axis,
        value,
        content: base(ticks),
        master: "local[*]".to_owned(),
        sql: OHLC.to_owned(),
    };
    let with = |value: u32, change: fn(&mut Content, u32)| {
        let mut setting = plain(value.to_string());
        change(&mut setting.content, value);
        setting
    };
    let open = |windows: u64| {
        let delay_s = ((windows - 1) * NARROW_S).max(LEAST_DELAY_S);
        let mut setting = plain(windows.to_string());
        setting.sql = with_windows(
            &format!("{NARROW_S} seconds"),
            &format!("{delay_s} seconds"),
        );
        setting
    };
    match axis {
        BenchAxis::Symbols => [1, 10, 50, 1_000, 10_000]
            .map(|value| with(value, |content, value| content.symbols = value))
            .into(),
        BenchAxis::Partitions => [1, 4, 16, 64]
            .map(|value| with(value, |content, value| content.partitions = value))
            .into(),
        BenchAxis::Threads => [1, 2, 3, 4]
            .map(|threads| Setting {
                master: format!("local[{threads}]"),
                ..plain(threads.to_string())
            })
            .into(),
        BenchAxis::OpenWindows => [1, 10, 100, 250, 500].map(open).into(),
        // Not beside the bare consumer: see `memory`.
        BenchAxis::Memory => Vec::new(),
        BenchAxis::TicksPerFrame => [1, 2, 5, 20, 50]
            .map(|value| with(value, |content, value| content.ticks_per_frame = value))
            .into(),
        BenchAxis::Compression => BenchCompression::all()
            .iter()
            .map(|&compression| {
                let mut setting = plain(compression.name().to_owned());
                setting.content.compression = compression;
                setting
            })
            .collect(),
        BenchAxis::Inserts => [1, 2, 3, 4]
            .map(|inserts| Setting {
                sql: with_inserts(inserts),
                ..plain(inserts.to_string())
            })
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    use expect_test::expect;

    #[test]
    fn one_thing_is_varied_at_a_time() {
        let mut shown = String::new();
        for setting in settings(2_000_000, &[]) {
            let name = setting.content.name();
            let name = name.strip_prefix("stockpulse-bench-2000000t-").unwrap();
            let delay = setting.sql.lines().find(|line| line.contains("- INTERVAL"));
            let delay = delay.unwrap().rsplit('-').next().unwrap();
            let inserts = setting.sql.matches("INSERT INTO").count();
            let (axis, value, master) = (setting.axis_name(), &setting.value, &setting.master);
            let _ = writeln!(shown, "{axis} {value}: {name} {master} {inserts}{delay}");
        }
        expect![[r#"
            symbols 1: 5f-1s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            symbols 10: 5f-10s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            symbols 50: 5f-50s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            symbols 1000: 5f-1000s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            symbols 10000: 5f-10000s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            partitions 1: 5f-50s-1p-lz4 local[*] 1 INTERVAL '1 minute'
            partitions 4: 5f-50s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            partitions 16: 5f-50s-16p-lz4 local[*] 1 INTERVAL '1 minute'
            partitions 64: 5f-50s-64p-lz4 local[*] 1 INTERVAL '1 minute'
            threads 1: 5f-50s-4p-lz4 local[1] 1 INTERVAL '1 minute'
            threads 2: 5f-50s-4p-lz4 local[2] 1 INTERVAL '1 minute'
            threads 3: 5f-50s-4p-lz4 local[3] 1 INTERVAL '1 minute'
            threads 4: 5f-50s-4p-lz4 local[4] 1 INTERVAL '1 minute'
            open windows 1: 5f-50s-4p-lz4 local[*] 1 INTERVAL '2 seconds'
            open windows 10: 5f-50s-4p-lz4 local[*] 1 INTERVAL '180 seconds'
            open windows 100: 5f-50s-4p-lz4 local[*] 1 INTERVAL '1980 seconds'
            open windows 250: 5f-50s-4p-lz4 local[*] 1 INTERVAL '4980 seconds'
            open windows 500: 5f-50s-4p-lz4 local[*] 1 INTERVAL '9980 seconds'
            ticks per frame 1: 1f-50s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            ticks per frame 2: 2f-50s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            ticks per frame 5: 5f-50s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            ticks per frame 20: 20f-50s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            ticks per frame 50: 50f-50s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            compression lz4: 5f-50s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            compression none: 5f-50s-4p-none local[*] 1 INTERVAL '1 minute'
            compression zstd: 5f-50s-4p-zstd local[*] 1 INTERVAL '1 minute'
            compression gzip: 5f-50s-4p-gzip local[*] 1 INTERVAL '1 minute'
            compression snappy: 5f-50s-4p-snappy local[*] 1 INTERVAL '1 minute'
            inserts 1: 5f-50s-4p-lz4 local[*] 1 INTERVAL '1 minute'
            inserts 2: 5f-50s-4p-lz4 local[*] 2 INTERVAL '1 minute'
            inserts 3: 5f-50s-4p-lz4 local[*] 3 INTERVAL '1 minute'
            inserts 4: 5f-50s-4p-lz4 local[*] 4 INTERVAL '1 minute'
        "#]]
        .assert_eq(&shown);
    }
}
