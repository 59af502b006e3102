//! How a process ends: the documented exit codes.

use std::process::ExitCode;

/// Why a StockPulse process ended; the discriminant is its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done, or stopped by a signal after a final commit.
    Done = 0,
    /// Anything that has no code of its own.
    Failed = 1,
    /// The command line or a configuration value is wrong.
    Usage = 2,
    /// The SQL file is missing or was refused.
    SqlRefused = 3,
    /// Kafka, or the cluster that is to run the job, cannot be reached or does not let us in.
    KafkaUnreachable = 4,
    /// The checkpoint or the output belongs to another query, is damaged, or is in use.
    Mismatch = 5,
    /// Kafka no longer retains offsets that are needed.
    DataLoss = 6,
    /// The output cannot be written.
    NotWritable = 7,
}

impl Exit {
    /// The number the process exits with, 0 to 7.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
