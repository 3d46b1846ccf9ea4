//! Local files that are on the disk before anybody can see them.
//!
//! The object store's own local files are in the kernel's memory when it answers. A power cut then leaves names with
//! nothing behind them, and an entry of the table's log or a checkpoint without content makes the whole table unreadable.
//! Here a file is written without its name and synced, then it gets its name, and the name is synced.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};
use parking_lot::Mutex;
use schemas::crash::{Point, point};

/// The file system, with durable writes below one directory.
#[derive(Debug, Clone)]
pub(super) struct DurableFiles {
    files: Arc<LocalFileSystem>,
    /// The table's directory.
    table: Arc<PathBuf>,
    /// Directories that are on the disk, names and all.
    known: Arc<Mutex<HashSet<PathBuf>>>,
}

impl DurableFiles {
    /// Makes the directory of a table durable, and everything that will be written below it.
    pub(super) fn new(table: &Path) -> io::Result<Self> {
        fs::create_dir_all(table)?;
        if let Some(above) = table.parent() {
            sync(above)?;
        }
        Ok(Self {
            files: Arc::new(LocalFileSystem::new()),
            table: Arc::new(table.to_owned()),
            known: Arc::default(),
        })
    }

    async fn write(&self, location: &Location, payload: PutPayload, create: bool) -> Result<()> {
        let (this, path) = (self.clone(), self.files.path_to_filesystem(location)?);
        let written = tokio::task::spawn_blocking(move || this.put_file(&path, &payload, create));
        let outcome = written.await.map_err(io::Error::other).flatten();
        outcome.map_err(|error| {
            let (path, source) = (location.to_string(), Box::new(error));
            match source.kind() {
                io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source },
                _ => Error::Generic {
                    store: "DurableFiles",
                    source,
                },
            }
        })
    }

    fn put_file(&self, path: &Path, payload: &PutPayload, create: bool) -> io::Result<()> {
        let directory = path.parent().unwrap_or(&self.table);
        self.make(directory)?;
        // A name like this is passed over when files are listed.
        let number = uuid::Uuid::new_v4().as_u128();
        let unnamed = PathBuf::from(format!("{}#{number}", path.display()));
        let named = write_all(&unnamed, payload).and_then(|()| {
            point(Point::ArchiveBeforeName);
            match create {
                // Fails if there is one already, in whichever process.
                true => fs::hard_link(&unnamed, path),
                false => fs::rename(&unnamed, path),
            }
        });
        if create || named.is_err() {
            // What stays behind is seen by nobody.
            let _ = fs::remove_file(&unnamed);
        }
        named?;
        point(Point::ArchiveBeforeSync);
        sync(directory)
    }

    /// Makes a directory below the table's, with all above it, unless this has been done.
    fn make(&self, directory: &Path) -> io::Result<()> {
        if self.known.lock().contains(directory) {
            return Ok(());
        }
        fs::create_dir_all(directory)?;
        for above in directory.ancestors().skip(1) {
            if !above.starts_with(&*self.table) {
                break;
            }
            sync(above)?;
        }
        self.known.lock().insert(directory.to_owned());
        Ok(())
    }
}

fn write_all(path: &Path, payload: &PutPayload) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    for part in payload {
        file.write_all(part)?;
    }
    file.sync_all()
}

/// Waits until the names in a directory are on the disk.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl fmt::Display for DurableFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "durable {}", self.files)
    }
}

#[async_trait]
impl ObjectStore for DurableFiles {
    async fn put_opts(
        &self,
        location: &Location,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        match options.mode {
            PutMode::Create => self.write(location, payload, true).await?,
            PutMode::Overwrite => self.write(location, payload, false).await?,
            // Not of local files, and it says so.
            PutMode::Update(_) => return self.files.put_opts(location, payload, options).await,
        }
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
        Ok(Box::new(Upload {
            store: self.clone(),
            location: location.clone(),
            parts: Vec::new(),
        }))
    }

    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Location,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Location>>,
    ) -> BoxStream<'static, Result<Location>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Location>,
        offset: &Location,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Location, to: &Location, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}

/// A file that comes in parts, which are kept until the last: only checkpoints of the log come like this.
#[derive(Debug)]
struct Upload {
    store: DurableFiles,
    location: Location,
    parts: Vec<Bytes>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.extend(data);
        Box::pin(std::future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload = PutPayload::from_iter(std::mem::take(&mut self.parts));
        let options = PutOptions::default();
        self.store.put_opts(&self.location, payload, options).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::TryStreamExt as _;
    use object_store::ObjectStoreExt as _;

    use super::*;

    #[tokio::test]
    async fn files_are_made_once_replaced_whole_and_listed_without_what_was_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("a/table");
        let store = DurableFiles::new(&table).unwrap();
        let at = |name: &str| Location::from_filesystem_path(&table).unwrap().join(name);
        let create = PutOptions::from(PutMode::Create);

        let entry = at("log").join("1.json");
        store
            .put_opts(&entry, "one".into(), create.clone())
            .await
            .unwrap();
        let again = store.put_opts(&entry, "two".into(), create).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })));
        let held = store.get(&entry).await.unwrap().bytes().await.unwrap();
        assert_eq!(held, "one");

        store.put(&at("hint"), "first".into()).await.unwrap();
        let mut parts = store.put_multipart(&at("hint")).await.unwrap();
        parts.put_part("sec".into()).await.unwrap();
        parts.put_part("ond".into()).await.unwrap();
        parts.complete().await.unwrap();
        let held = store.get(&at("hint")).await.unwrap().bytes().await.unwrap();
        assert_eq!(held, "second");

        fs::write(table.join("log/2.json#77"), "cut short").unwrap();
        let listed: Vec<ObjectMeta> = store.list(Some(&at("log"))).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].location, entry);
        let files = fs::read_dir(table.join("log")).unwrap().count();
        assert_eq!(files, 2, "nothing of the refused one stays");
    }
}
