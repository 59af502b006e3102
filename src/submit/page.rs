//! The page of a job that is started.

use std::time::Duration;

use chrono::Utc;
use tracing::{info, warn};

use super::explain::explained;
use crate::config::ingest::{IngestOptions, Trigger};
use crate::job::ProgressReport;
use crate::metrics::ingest::IngestMetrics;
use crate::page::{About, Board, Page};
use crate::query::sql::{SqlFile, Statement};

/// A job's page, and what it shows.
pub struct JobPage {
    /// What it shows.
    pub board: Board,
    page: Page,
}

impl JobPage {
    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.page.address())
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.page.address()
    }

    /// An epoch is over.
    pub fn update(&self, report: &ProgressReport) {
        self.board.update(report, Utc::now().timestamp_millis());
    }
}

/// How long a job may report nothing and still be well, beside the time between its commits.
const SILENCE: Duration = Duration::from_secs(60);

/// A job reports with each commit; how soon a bounded run has one depends on what there is to read.
fn silent_after(trigger: Trigger) -> Option<Duration> {
    match trigger {
        Trigger::AvailableNow => None,
        Trigger::AtOnce => Some(SILENCE),
        Trigger::ProcessingTime(interval) => Some(SILENCE + interval),
    }
}

/// The page, if there is to be one. A job runs also where it cannot have one.
pub fn open(options: &IngestOptions, sql: &SqlFile, metrics: &IngestMetrics) -> Option<JobPage> {
    let ui = options.ui.as_ref()?;
    let started_ms = Utc::now().timestamp_millis();
    let tables = sql
        .statements
        .iter()
        .filter_map(|statement| match statement {
            Statement::Insert { table, .. } => Some(table.value.clone()),
            _ => None,
        });
    let about = About {
        name: options.name.clone(),
        threads: options.threads,
        tables: tables.collect(),
        sql: sql.source.shown(),
        version: env!("CARGO_PKG_VERSION"),
        run_id: format!("{:x}-{:x}", started_ms, std::process::id()),
        started_ms,
    };
    let (of, file) = (options.clone(), sql.clone());
    let plan = Box::new(move || explained(&of, &file));
    let board = Board::new(about, plan, metrics.clone(), silent_after(options.trigger));
    match Page::start(ui, board.clone()) {
        Ok(page) => {
            let address = page.address();
            info!("the job's page is at http://{address}/");
            if !address.ip().is_loopback() && ui.token.is_none() {
                warn!(
                    "the job's page is open to whoever reaches {address}: set STOCKPULSE_JOB_TOKEN"
                );
            }
            Some(JobPage { board, page })
        }
        Err(error) => {
            warn!(
                "the job has no page: cannot listen on {}:{}: {error}; choose another port by --conf spark.ui.port=PORT, or none by spark.ui.enabled=false",
                ui.host, ui.port
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_commits_seldom_may_be_silent_for_longer() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(silent_after(Trigger::AtOnce), Some(minutes(1)));
        let seldom = Trigger::ProcessingTime(minutes(10));
        assert_eq!(silent_after(seldom), Some(minutes(11)));
        assert_eq!(silent_after(Trigger::AvailableNow), None);
    }
}
