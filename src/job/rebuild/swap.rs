//! The new generation takes the tables' places: a row of steps, each of which can be done twice. They
//! begin when the swap is durably noted beside the checkpoint; whoever starts next does what is left.

use super::Rebuild;
use crate::checkpoint::{Checkpoint, CheckpointStore};
use crate::job::dead_letters::DEAD_LETTERS;
use crate::job::{JobError, ProgressReport};
use crate::sink::generation;

/// Finishes the swap that is under way; `None`: there is none. `on_progress` hears of each step before it.
///
/// The checkpoint follows the folders: until it is there, nobody can start without finishing the swap. The
/// old generation is put away before the swap is forgotten, since what stands in a rebuild's folder
/// otherwise is removed as unfinished.
pub fn finish(
    store: &mut CheckpointStore,
    on_progress: &mut dyn FnMut(&ProgressReport),
) -> Result<Option<(Checkpoint, Rebuild)>, JobError> {
    let Some(swap) = store.swap()? else {
        return Ok(None);
    };
    let report = ProgressReport::swapping(swap.checkpoint.epoch);
    let mut next_step = || on_progress(&report);
    for table in &swap.tables {
        next_step();
        generation::take_place(store.disk(), table)?;
    }
    next_step();
    if store
        .newest()
        .is_none_or(|newest| newest < swap.checkpoint.epoch)
    {
        store.commit(&swap.checkpoint)?;
    }
    let (mut rows, mut kept) = (0, Vec::new());
    for table in &swap.tables {
        next_step();
        let survey = generation::survey(&table.dir)?;
        if table.table != DEAD_LETTERS {
            rows += survey.rows;
        }
        let since = super::history::since(survey.oldest);
        let before = match generation::put_away(store.disk(), table)? {
            true => {
                kept.push(table.kept.clone());
                format!(
                    "what was there before is kept in {} and can be deleted",
                    table.kept.display()
                )
            }
            false => "nothing was there before".to_string(),
        };
        tracing::info!(
            "rebuilt: {} holds {} rows{since}; {before}",
            table.dir.display(),
            survey.rows
        );
    }
    next_step();
    store.end_rebuild()?;
    next_step();
    store.end_swap()?;
    Ok(Some((swap.checkpoint, Rebuild::Swapped { rows, kept })))
}
