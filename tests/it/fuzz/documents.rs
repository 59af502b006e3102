//! Documents of the checkpoint's folder: whatever stands in one, it is refused or it is what was written. A job never
//! begins anew because of what it cannot read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stockpulse::checkpoint::{
    Checkpoint, CheckpointError, CheckpointStore, FileEntry, Generation, GenerationTable, Swap,
    SwapTable,
};
use stockpulse::disk::Disk;
use stockpulse::model::Epoch;
use tempfile::TempDir;

use super::Inputs;
use crate::checkpoint::checkpoint;

/// The folder's newest epoch, whose document is tried.
const EPOCH: u64 = 7;

/// A folder with a checkpoint, a rebuild's beginning and a swap, and where these stand.
struct Folder {
    _dir: TempDir,
    store: CheckpointStore,
    original: Originals,
    paths: [PathBuf; 3],
}

/// What was written.
struct Originals {
    checkpoint: Checkpoint,
    generation: Generation,
    swap: Swap,
}

/// A checkpoint with something of everything.
fn full() -> Checkpoint {
    let small = checkpoint(EPOCH);
    let state = small.partitions[&0].clone();
    Checkpoint {
        partitions: (0..3).map(|partition| (partition, state.clone())).collect(),
        since: BTreeMap::from([(0, 0), (2, 5)]),
        files: vec![FileEntry {
            table: "ohlc".to_owned(),
            staged: "ohlc-0000000007-000.parquet".to_owned(),
            published: "date=2019-10-11/ohlc-0000000007-000.parquet".to_owned(),
            rows: 50,
            bytes: 3400,
        }],
        query: BTreeMap::from([("ohlc".to_owned(), "SELECT \"ü\"\n".to_owned())]),
        ..small
    }
}

impl Folder {
    fn new() -> Folder {
        let dir = TempDir::new().unwrap();
        let mut store = CheckpointStore::open(dir.path(), &Disk::default()).unwrap();
        let table = PathBuf::from("data/ohlc");
        let rebuilt = PathBuf::from("data/_rebuild/ohlc");
        let original = Originals {
            checkpoint: full(),
            generation: Generation {
                after: Epoch(EPOCH),
                tables: vec![GenerationTable {
                    table: "ohlc".to_owned(),
                    dir: table.clone(),
                    rebuilt: rebuilt.clone(),
                }],
            },
            swap: Swap {
                tables: vec![SwapTable {
                    table: "ohlc".to_owned(),
                    dir: table,
                    rebuilt,
                    kept: PathBuf::from("data/_old/ohlc-7"),
                    inode: 12,
                }],
                checkpoint: full(),
            },
        };
        store.commit(&checkpoint(EPOCH - 1)).unwrap();
        store.commit(&original.checkpoint).unwrap();
        store.begin_rebuild(&original.generation).unwrap();
        store.begin_swap(&original.swap).unwrap();
        let paths = [
            format!("checkpoint-{EPOCH:09}.json"),
            "rebuild/generation.json".to_owned(),
            "swap.json".to_owned(),
        ];
        Folder {
            paths: paths.map(|name| dir.path().join(name)),
            _dir: dir,
            store,
            original,
        }
    }

    /// What is read of the document; `None`: refused as damaged.
    fn read(&self, number: usize) -> Option<bool> {
        let original = &self.original;
        match number {
            0 => found(self.store.load()).map(|read| read == original.checkpoint),
            1 => found(self.store.generation()).map(|read| read == original.generation),
            _ => found(self.store.swap()).map(|read| read == original.swap),
        }
    }
}

/// What was read; `None`: refused as damaged.
fn found<T>(read: Result<Option<T>, CheckpointError>) -> Option<T> {
    match read {
        Ok(Some(read)) => Some(read),
        Ok(None) => panic!("a document that is there counts as none"),
        Err(CheckpointError::Damaged(message)) => {
            assert!(message.contains("cannot be used"), "{message}");
            None
        }
        Err(other) => panic!("{other}"),
    }
}

/// The document with the checksum that its body has now, if it can be told where that begins.
fn with_its_checksum(document: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(document).ok()?;
    let body = text
        .trim_end()
        .split_once(r#""body":"#)?
        .1
        .strip_suffix('}')?;
    let crc32 = crc32fast::hash(body.as_bytes());
    Some(format!(r#"{{"version":1,"crc32":"{crc32:08x}","body":{body}}}"#).into_bytes())
}

fn corpus(folder: &Folder) -> Vec<Vec<u8>> {
    let read = |path: &PathBuf| std::fs::read(path).unwrap();
    folder.paths.iter().map(read).collect()
}

/// Puts the bytes into the place of a document. Deliberately a new file: to replace what is in one is a flush to the
/// disk on some file systems.
fn put(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn no_bytes_of_a_document_are_taken_for_another_one_or_for_none() {
    let folder = Folder::new();
    let corpus = corpus(&folder);
    // The document's number first.
    let changed = |inputs: &mut Inputs| {
        let number = inputs.any();
        let mut bytes = inputs.changed(number);
        bytes.insert(0, number as u8);
        bytes
    };
    Inputs::new(corpus.clone()).each("documents", changed, |input| {
        let (number, bytes) = (usize::from(input[0]), &input[1..]);
        put(&folder.paths[number], bytes);
        let read = folder.read(number);
        assert!(read != Some(false), "something else was read");
    });
    for (number, original) in corpus.iter().enumerate() {
        put(&folder.paths[number], original);
        assert_eq!(folder.read(number), Some(true));
    }
}

/// A checksum says who wrote a document, not that it makes sense.
#[test]
fn a_document_whose_checksum_is_right_is_read_or_refused() {
    let folder = Folder::new();
    let corpus = corpus(&folder);
    let changed = |inputs: &mut Inputs| loop {
        let number = inputs.any();
        if let Some(mut bytes) = with_its_checksum(&inputs.changed(number)) {
            bytes.insert(0, number as u8);
            return bytes;
        }
    };
    Inputs::new(corpus).each("documents with their checksum", changed, |input| {
        let (number, bytes) = (usize::from(input[0]), &input[1..]);
        put(&folder.paths[number], bytes);
        folder.read(number);
    });
}
