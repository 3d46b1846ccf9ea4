//! Files by name, in a folder or a bucket: those of the archive's table, or of a backup.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::ArchiveFuture;
use super::error::ArchiveError;
use super::location::Location;
use super::options::ArchiveOptions;

/// Files by name, in a folder or below a prefix of a bucket. Cheap to clone.
#[derive(Clone)]
pub struct Place {
    location: Location,
    store: Arc<dyn ObjectStore>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

impl Place {
    pub(super) fn new(location: Location, store: Arc<dyn ObjectStore>) -> Self {
        Self { location, store }
    }

    /// The files at `file:DIRECTORY`, which is made, or `s3://BUCKET/PREFIX`.
    ///
    /// # Errors
    ///
    /// An address or option that cannot be used.
    pub fn open(url: &str, options: &ArchiveOptions) -> Result<Self, ArchiveError> {
        let location = Location::below(url, "")?;
        let store = location.log_store(options)?.object_store(None);
        Ok(Self::new(location, store))
    }

    /// Its address.
    pub fn url(&self) -> &str {
        self.location.url.as_str()
    }

    /// Whether nothing is there.
    ///
    /// # Errors
    ///
    /// Storage that does not answer.
    pub fn is_empty(&self) -> ArchiveFuture<'_, bool> {
        async move { Ok(self.store.list(None).try_next().await?.is_none()) }.boxed()
    }

    /// Writes a file, durably.
    ///
    /// # Errors
    ///
    /// Storage that fails.
    pub fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> ArchiveFuture<'a, ()> {
        async move {
            self.store.put(&path(name)?, bytes.into()).await?;
            Ok(())
        }
        .boxed()
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Storage that fails or has no such file.
    pub fn get<'a>(&'a self, name: &'a str) -> ArchiveFuture<'a, Bytes> {
        async move { Ok(self.store.get(&path(name)?).await?.bytes().await?) }.boxed()
    }

    /// Deletes everything that is there.
    ///
    /// # Errors
    ///
    /// Storage that fails; part may be gone.
    pub fn clear(&self) -> ArchiveFuture<'_, ()> {
        async move {
            let found: Vec<_> = self.store.list(None).try_collect().await?;
            for file in found {
                self.store.delete(&file.location).await?;
            }
            Ok(())
        }
        .boxed()
    }
}

fn path(name: &str) -> Result<Path, ArchiveError> {
    Path::parse(name).map_err(|error| ArchiveError::Storage(error.into()))
}
