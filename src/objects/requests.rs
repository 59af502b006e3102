//! What can be asked of a store, one small method each. They block; an answer that is lost is an error, and what was
//! asked may have been done.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{
    Error as ClientError, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload,
};

use super::error;
use super::watch::{Request, Watch};
use super::{Address, StoreError};
use crate::runtime::Runtime;

/// A file that is larger is sent in parts of so many bytes; S3 takes none below 5 MB, and 10,000 of them.
const PART_BYTES: usize = 8 << 20;
/// Two objects are compared in pieces of so many bytes.
const PIECE_BYTES: u64 = 8 << 20;

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
}

/// The way to one bucket. Clones are the same way.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// The bucket, for messages: `s3://bucket`.
    root: String,
    watch: Option<Arc<dyn Watch>>,
    runtime: Runtime,
}

impl fmt::Debug for Objects {
    /// Deliberately: not the client, which holds credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watched = self.watch.is_some();
        let mut shown = f.debug_struct("Objects");
        shown.field("root", &self.root).field("watched", &watched);
        shown.finish()
    }
}

impl Objects {
    /// The bucket of `address` on `store`; `watch` hears of every request.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the machine gives no threads.
    pub fn over(
        store: Arc<dyn ObjectStore>,
        address: &Address,
        watch: Option<Arc<dyn Watch>>,
    ) -> Result<Objects, StoreError> {
        let runtime = Runtime::of_process();
        Ok(Objects {
            store,
            root: address.root().to_owned(),
            watch,
            runtime: runtime.map_err(|error| StoreError::Refused(error.to_string()))?,
        })
    }

    /// An object in words: `s3://bucket/key`.
    pub fn shown(&self, key: &str) -> String {
        format!("{}/{key}", self.root)
    }

    /// Puts an object; one of that key is replaced.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let payload = PutPayload::from_bytes(bytes);
        self.ask(Request::Put(key), "write", async |at| {
            self.store.put(&at, payload).await.map(drop)
        })
    }

    /// Puts an object if none of that key is there.
    ///
    /// # Errors
    /// [`StoreError::Exists`]: one is there, which may be this one if an answer was lost. See [`StoreError`].
    pub fn put_new(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let payload = PutPayload::from_bytes(bytes);
        let options = PutOptions::from(PutMode::Create);
        self.ask(Request::PutNew(key), "write", async |at| {
            self.store.put_opts(&at, payload, options).await.map(drop)
        })
    }

    /// Puts what is left to be read of a file, in parts if it is large; an object of that key is replaced. It appears
    /// whole, when the last part has come.
    ///
    /// # Errors
    /// See [`StoreError`]; [`StoreError::Refused`] if the file cannot be read.
    pub fn put_file(&self, key: &str, file: &mut File) -> Result<(), StoreError> {
        let first = self.part(key, file)?;
        if first.len() < PART_BYTES {
            return self.put(key, first);
        }
        self.ask(Request::Put(key), "write", async |at| {
            let upload = self.store.put_multipart(&at).await?;
            let mut upload = Parts(upload);
            let mut part = first;
            while !part.is_empty() {
                let is_last = part.len() < PART_BYTES;
                if let Err(error) = upload.0.put_part(PutPayload::from_bytes(part)).await {
                    upload.abort().await;
                    return Err(error);
                }
                part = match is_last {
                    true => break,
                    false => read_part(file).map_err(unread)?,
                };
            }
            match upload.0.complete().await {
                Ok(_) => Ok(()),
                Err(error) => {
                    upload.abort().await;
                    Err(error)
                }
            }
        })
    }

    fn part(&self, key: &str, file: &mut File) -> Result<Bytes, StoreError> {
        read_part(file).map_err(|error| {
            let place = self.shown(key);
            StoreError::Refused(format!("cannot read what is to become {place}: {error}"))
        })
    }

    /// Copies an object within the store; one of the new key is replaced.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]: there is nothing to copy. See [`StoreError`].
    pub fn copy(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let source = self.key(from)?;
        self.ask(Request::Copy { from, to }, "copy", async |at| {
            self.store.copy(&source, &at).await
        })
    }

    /// An object's size; `None`: it is not there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn size(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let size = self.ask(Request::Head(key), "look at", async |at| {
            self.store.head(&at).await.map(|meta| meta.size)
        });
        found(size)
    }

    /// What an object holds; `None`: it is not there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        found(self.ask(Request::Get(key), "read", async |at| {
            self.store.get(&at).await?.bytes().await
        }))
    }

    /// The objects below `prefix`, by key; only those that come after `after`, if it is given.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Object>, StoreError> {
        let after = after.map(|after| self.key(after)).transpose()?;
        let mut found = self.ask(Request::List(prefix), "list", async |at| {
            let listed = match &after {
                Some(after) => self.store.list_with_offset(Some(&at), after),
                None => self.store.list(Some(&at)),
            };
            let object = |meta: object_store::ObjectMeta| Object {
                key: meta.location.to_string(),
                bytes: meta.size,
            };
            listed.map_ok(object).try_collect::<Vec<_>>().await
        })?;
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// Removes an object; one that is already gone is fine.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn delete(&self, key: &str) -> Result<(), StoreError> {
        let deleted = self.ask(Request::Delete(key), "remove", async |at| {
            self.store.delete(&at).await
        });
        found(deleted).map(|_| ())
    }

    /// Whether two objects of one size hold the same; `None`: one of them is not there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn is_same(&self, one: &str, other: &str, bytes: u64) -> Result<Option<bool>, StoreError> {
        for start in (0..bytes).step_by(PIECE_BYTES as usize) {
            let end = bytes.min(start + PIECE_BYTES);
            let piece = |key: &str| {
                found(self.ask(Request::Get(key), "read", async |at| {
                    self.store.get_range(&at, start..end).await
                }))
            };
            match (piece(one)?, piece(other)?) {
                (Some(one), Some(other)) if one == other => {}
                (Some(_), Some(_)) => return Ok(Some(false)),
                _ => return Ok(None),
            }
        }
        Ok(Some(true))
    }

    /// Sends a request, and waits for its answer.
    fn ask<T>(
        &self,
        request: Request<'_>,
        doing: &str,
        send: impl AsyncFnOnce(Key) -> Result<T, ClientError>,
    ) -> Result<T, StoreError> {
        let key = self.key(request.key())?;
        if let Some(watch) = &self.watch {
            watch.before(&request)?;
        }
        let answer = self.runtime.wait(send(key)).map_err(|error| {
            let error = error::of(doing, &self.shown(request.key()), &self.root, &error);
            match (error, &request) {
                // Nothing has to be there for it but the bucket.
                (StoreError::NotFound(place), Request::Put(_) | Request::PutNew(_)) => {
                    let root = &self.root;
                    StoreError::Refused(format!(
                        "cannot write {place}: there is no {root}; make it, or name another one"
                    ))
                }
                (error, _) => error,
            }
        })?;
        if let Some(watch) = &self.watch {
            watch.after(&request)?;
        }
        Ok(answer)
    }

    /// Deliberately as it is: what names a partition has been escaped already.
    fn key(&self, key: &str) -> Result<Key, StoreError> {
        Key::parse(key).map_err(|_| {
            let place = self.shown(key);
            StoreError::Refused(format!("{place} cannot be a key of an object store"))
        })
    }
}

/// An upload that has begun.
struct Parts(Box<dyn MultipartUpload>);

impl Parts {
    /// Best effort: parts that stay are seen by nobody, but paid for.
    async fn abort(&mut self) {
        let _ = self.0.abort().await;
    }
}

/// Bytes of the next part; fewer than a part has only at the end.
fn read_part(file: &mut File) -> io::Result<Bytes> {
    let mut part = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut part)?;
    Ok(part.into())
}

fn unread(error: io::Error) -> ClientError {
    ClientError::Generic {
        store: "file",
        source: Box::new(error),
    }
}

/// `None` for what is not there.
fn found<T>(answer: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match answer {
        Err(StoreError::NotFound(_)) => Ok(None),
        answer => answer.map(Some),
    }
}
