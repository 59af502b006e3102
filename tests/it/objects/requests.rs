//! What each request does, held against a store: one in memory here, a real server in `tests/services/s3/`.

use std::io::{Seek, Write};

use bytes::Bytes;
use stockpulse::objects::{Objects, StoreError};

const MB: usize = 1 << 20;

/// Asks everything that can be asked, below a prefix where nothing is.
pub fn check_every_request(objects: &Objects, prefix: &str) {
    let key = |name: &str| format!("{prefix}/{name}");
    let keys = || -> Vec<String> {
        let listed = objects.list(prefix, None).unwrap().into_iter();
        listed.map(|object| object.key).collect()
    };
    assert!(keys().is_empty());

    // As a symbol's folder is called: what is escaped stays as it is.
    let odd = key("date=2026-01-01/exchange=A%7EB:C/x y'é.parquet");
    objects.put(&odd, Bytes::from_static(b"one")).unwrap();
    assert_eq!(keys(), [odd.as_str()]);
    assert_eq!(objects.get(&odd).unwrap().unwrap(), "one");
    objects.put(&odd, Bytes::from_static(b"three")).unwrap();
    assert_eq!(objects.size(&odd).unwrap(), Some(5));

    let new = key("new.json");
    objects.put_new(&new, Bytes::from_static(b"first")).unwrap();
    let again = objects.put_new(&new, Bytes::from_static(b"second"));
    assert!(matches!(again, Err(StoreError::Exists(_))), "{again:?}");
    assert_eq!(objects.get(&new).unwrap().unwrap(), "first");

    let copy = key("copy");
    objects.copy(&new, &copy).unwrap();
    objects.copy(&new, &copy).unwrap();
    assert_eq!(objects.get(&copy).unwrap().unwrap(), "first");
    assert_eq!(objects.is_same(&new, &copy, 5).unwrap(), Some(true));
    assert_eq!(objects.is_same(&new, &odd, 5).unwrap(), Some(false));
    assert_eq!(objects.is_same(&new, &key("nothing"), 5).unwrap(), None);
    let nothing = objects.copy(&key("nothing"), &key("something"));
    assert!(
        matches!(nothing, Err(StoreError::NotFound(_))),
        "{nothing:?}"
    );
    assert_eq!(objects.size(&key("something")).unwrap(), None);
    assert_eq!(objects.get(&key("something")).unwrap(), None);

    let after: Vec<String> = (objects.list(prefix, Some(&copy)).unwrap().into_iter())
        .map(|object| object.key)
        .collect();
    assert_eq!(after, [odd.as_str(), new.as_str()]);
    objects.delete(&copy).unwrap();
    objects.delete(&copy).unwrap();
    assert_eq!(objects.size(&copy).unwrap(), None);

    // In one piece, in parts that are full, in parts of which the last is not.
    for bytes in [0, 5, 8 * MB, 16 * MB, 17 * MB + 3] {
        let large = key("large");
        let content: Vec<u8> = (0..bytes).map(|at| (at / 1000) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        file.rewind().unwrap();
        objects.put_file(&large, &mut file).unwrap();
        assert_eq!(objects.size(&large).unwrap(), Some(bytes as u64));
        assert!(objects.get(&large).unwrap().unwrap() == content, "{bytes}");
        objects.copy(&large, &copy).unwrap();
        let same = objects.is_same(&large, &copy, bytes as u64);
        assert_eq!(same.unwrap(), Some(true), "{bytes}");
    }
    for bad in ["a//b", "a/../b", "a/\u{7}"] {
        let refused = objects.put(&key(bad), Bytes::new());
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{bad}");
    }
}
