//! What is new in a table: the candles of files that were not there at the last look.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::functions_aggregate::expr_fn::max;
use datafusion::prelude::ident;

use super::CandlesError;
use super::files::{self, Listing};
use super::rows::{Candle, candles, nanos_of};
use super::store::{FolderId, Store, WINDOW_END, midnight};
use super::table::Span;

/// The newest days whose folders are looked into: the job writes to one, about midnight to two.
const DAYS: usize = 2;
/// New files of one look at the most; who has missed more reads the table instead.
const NEW_FILES_MAX: usize = 500;
/// Their rows at the most.
const NEW_ROWS_MAX: usize = 200_000;

/// What one look has found.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// Nothing new.
    Nothing,
    /// These candles were published.
    Candles(Vec<Candle>),
    /// Files are others than before, or too many are new: what was read of the table does not hold.
    Replaced,
}

/// Looks at a table's folder again and again.
pub struct Follower {
    store: Arc<Store>,
    folder: Option<FolderId>,
    seen: Option<Listing>,
    /// Whether a look has failed since: what came meanwhile is not known.
    has_failed: bool,
    frontier: Option<i64>,
}

impl Follower {
    /// One that has not looked yet.
    pub fn new(store: Arc<Store>) -> Follower {
        Follower {
            store,
            folder: None,
            seen: None,
            has_failed: false,
            frontier: None,
        }
    }

    /// The end of the latest window that is published, nanoseconds since 1970 UTC: earlier ones are
    /// closed. None: no window is.
    pub fn frontier(&self) -> Option<i64> {
        self.frontier
    }

    /// Looks once. The first look finds nothing new, whatever there is.
    ///
    /// # Errors
    /// The folder or a file cannot be read; the next look that succeeds says [`News::Replaced`].
    pub async fn look(&mut self) -> Result<News, CandlesError> {
        let found = self.look_now().await;
        if found.is_err() {
            self.has_failed |= self.seen.take().is_some() || self.folder.is_some();
        }
        match found {
            // A table that is taken away under the look is seen as gone by the next.
            Err(CandlesError::Vanished(_)) => Ok(News::Replaced),
            other => other,
        }
    }

    async fn look_now(&mut self) -> Result<News, CandlesError> {
        let folder = self.store.folder_id();
        let path = self.store.root();
        let listed = tokio::task::spawn_blocking(move || files::list(&path, DAYS)).await;
        let now = listed
            .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
            .map_err(|error| {
                let path = self.store.path().display();
                CandlesError::Unreadable(format!("{path} cannot be read: {error}"))
            })?;
        let is_other = self.folder.is_some() && self.folder != folder;
        let before = match self.seen.take() {
            Some(before) if !is_other => before,
            before => {
                self.frontier = self.newest_end().await?;
                self.folder = folder;
                self.seen = Some(now);
                let has_failed = std::mem::take(&mut self.has_failed);
                return Ok(match before.is_some() || has_failed {
                    true => News::Replaced,
                    false => News::Nothing,
                });
            }
        };
        self.folder = folder;
        let new = new_since(&before, &now);
        let Some(new) = new.filter(|new| new.len() <= NEW_FILES_MAX) else {
            self.frontier = self.newest_end().await?;
            self.seen = Some(now);
            return Ok(News::Replaced);
        };
        if new.is_empty() {
            self.seen = Some(now);
            return Ok(News::Nothing);
        }
        let rows = self.store.rows_of_files(&new).await?;
        let rows = rows.limit(0, Some(NEW_ROWS_MAX + 1));
        let rows = rows.map_err(|error| self.store.failed(&error))?;
        let batches = rows.collect().await;
        let batches = batches.map_err(|error| self.store.failed(&error))?;
        let mut new = Vec::new();
        for batch in &batches {
            new.extend(candles(batch, self.store.path())?);
        }
        self.seen = Some(now);
        let newest = new.iter().map(|candle| candle.end).max();
        self.frontier = self.frontier.max(newest);
        if new.len() > NEW_ROWS_MAX {
            return Ok(News::Replaced);
        }
        new.sort_by(|a, b| (a.start, &a.symbol).cmp(&(b.start, &b.symbol)));
        Ok(News::Candles(new))
    }

    async fn newest_end(&self) -> Result<Option<i64>, CandlesError> {
        let days = self.store.days()?;
        let span = Span {
            from: days
                .get(days.len().saturating_sub(DAYS))
                .map(|day| midnight(*day)),
            until: None,
        };
        let rows = match self.store.rows(span).await {
            Err(CandlesError::NoFiles(_)) => return Ok(None),
            other => other?,
        };
        super::rows::column_type(rows.schema().inner(), WINDOW_END, self.store.path())?;
        let newest = rows.aggregate(vec![], vec![max(ident(WINDOW_END))]);
        let newest = newest.map_err(|error| self.store.failed(&error))?;
        let batches = newest.collect().await;
        let batches = batches.map_err(|error| self.store.failed(&error))?;
        let mut end = None;
        for batch in &batches {
            let ends = nanos_of(batch.column(0), self.store.path())?;
            end = end.max(ends.iter().flatten().max());
        }
        Ok(end)
    }
}

/// The files of `now` that `before` does not have, in folders that both look into or that are new;
/// none if one of `before` is gone.
fn new_since(before: &Listing, now: &Listing) -> Option<Vec<PathBuf>> {
    let mut new = Vec::new();
    let nothing = Default::default();
    // The older of the two days is looked into no more when a third begins: its files are not gone.
    let oldest = now.keys().next();
    if before
        .keys()
        .any(|folder| !now.contains_key(folder) && Some(folder) > oldest)
    {
        return None;
    }
    for (folder, files) in now {
        let seen = before.get(folder).unwrap_or(&nothing);
        let names = files::new_files(seen, files)?;
        new.extend(names.iter().map(|name| folder.join(name)));
    }
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(files: &[&str]) -> Listing {
        let mut listing = Listing::new();
        for file in files {
            let (folder, name) = file.rsplit_once('/').unwrap();
            listing
                .entry(PathBuf::from(folder))
                .or_default()
                .insert(name.to_string());
        }
        listing
    }

    fn check(before: &[&str], now: &[&str], expected: Option<&[&str]>) {
        let new = new_since(&listing(before), &listing(now));
        let expected = expected.map(|files| files.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(new, expected, "{before:?} → {now:?}");
    }

    #[test]
    fn new_files_and_files_that_went() {
        check(&[], &[], Some(&[]));
        check(&["1/a"], &["1/a", "1/b"], Some(&["1/b"]));
        check(&["1/a", "2/b"], &["2/b", "3/c"], Some(&["3/c"]));
        // A day that was merged, a table that was emptied, a folder that went from among others.
        check(&["1/a", "1/b"], &["1/c"], None);
        check(&["1/a", "2/a"], &["1/a"], None);
    }
}
