//! The local disk as an object store whose puts survive a power cut: written aside, fsynced, given their name in
//! one step, and the name fsynced. Each of these is a step of [`Disk`], which a test can stop.
//!
//! Delta's crates write their log through it; the store that comes with `object_store` does not fsync.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

use crate::disk::{Disk, DiskFile, parent_of};

/// What errors call it.
const NAME: &str = "the local disk";
/// What is being written is called so until it has its name; no reader of a log looks at such names.
const ASIDE: &str = ".tmp";

/// Reads as the local file system, writes through [`Disk`]. It removes and copies nothing.
#[derive(Debug)]
pub(super) struct DurableLocal {
    local: Arc<LocalFileSystem>,
    disk: Disk,
}

impl DurableLocal {
    pub(super) fn new(disk: Disk) -> DurableLocal {
        let local = Arc::new(LocalFileSystem::new());
        DurableLocal { local, disk }
    }
}

/// Whether a file of this name was being written when a process ended.
pub(super) fn is_aside(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(ASIDE)
}

fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{ASIDE}"))
}

/// A file that has no name of its own yet.
#[derive(Debug)]
struct Aside {
    file: DiskFile,
    aside: PathBuf,
    path: PathBuf,
    disk: Disk,
}

impl Aside {
    fn begin(disk: &Disk, path: &Path) -> io::Result<Aside> {
        let aside = aside(path);
        // It may be a second name of a file that is whole, which must not be emptied.
        if aside.exists() {
            disk.remove_file(&aside)?;
        }
        Ok(Aside {
            file: disk.create(&aside)?,
            aside,
            path: path.to_path_buf(),
            disk: disk.clone(),
        })
    }

    fn write(&mut self, payload: &PutPayload) -> io::Result<()> {
        payload
            .iter()
            .try_for_each(|bytes| self.file.write_all(bytes))
    }

    /// Gives it its name, durably.
    fn end(&self, mode: &PutMode) -> io::Result<()> {
        self.file.sync()?;
        match mode {
            PutMode::Create => {
                self.disk.link(&self.aside, &self.path)?;
                self.disk.remove_file(&self.aside)?;
            }
            _ => self.disk.rename(&self.aside, &self.path)?,
        }
        self.disk.sync_dir(parent_of(&self.path))
    }
}

fn put(disk: &Disk, path: &Path, payload: &PutPayload, mode: &PutMode) -> io::Result<()> {
    let mut file = Aside::begin(disk, path)?;
    let written = file.write(payload).and_then(|()| file.end(mode));
    written.inspect_err(|_| {
        // Best effort: the next start removes it too.
        let _ = disk.remove_file(&file.aside);
    })
}

fn failed(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists {
            path: path.display().to_string(),
            source: Box::new(error),
        },
        _ => Error::Generic {
            store: NAME,
            source: Box::new(error),
        },
    }
}

fn not_done(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: NAME.to_owned(),
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(
        &self,
        location: &Location,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) {
            return Err(not_done("put in place of a version"));
        }
        let path = self.local.path_to_filesystem(location)?;
        // The fsyncs block, and other sinks have tasks on these threads.
        tokio::task::block_in_place(|| put(&self.disk, &path, &payload, &options.mode))
            .map_err(|error| failed(&path, error))?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Location,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.local.path_to_filesystem(location)?;
        let file = Aside::begin(&self.disk, &path).map_err(|error| failed(&path, error))?;
        Ok(Box::new(file))
    }

    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        self.local.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Location>>,
    ) -> BoxStream<'static, Result<Location>> {
        Box::pin(futures::stream::iter([Err(not_done("delete"))]))
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Location>,
        offset: &Location,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        self.local.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Location, _: &Location, _: CopyOptions) -> Result<()> {
        Err(not_done("copy"))
    }
}

/// Parts are written as they come, one after the other.
#[async_trait]
impl MultipartUpload for Aside {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let written = self.write(&payload);
        let written = written.map_err(|error| failed(&self.path, error));
        let done: BoxFuture<'static, Result<()>> = Box::pin(futures::future::ready(written));
        done
    }

    async fn complete(&mut self) -> Result<PutResult> {
        tokio::task::block_in_place(|| self.end(&PutMode::Overwrite))
            .map_err(|error| failed(&self.path, error))?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn abort(&mut self) -> Result<()> {
        let removed = self.disk.remove_file(&self.aside);
        removed.map_err(|error| failed(&self.path, error))
    }
}
