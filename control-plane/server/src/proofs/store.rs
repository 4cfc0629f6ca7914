//! Where the pictures' bytes are: a folder, or a bucket that speaks S3.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use jiff::Timestamp;
use object_store::{
    ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
    aws::AmazonS3Builder,
    local::LocalFileSystem,
    path::{Path, PathPart},
    prefix::PrefixStore,
};

use crate::{
    args::S3Config,
    error::{ApiError, Result},
    folder::Folder,
};

/// From a call to its outcome, with all retries: below the deadline of the request that waits for it.
const DEADLINE: Duration = Duration::from_secs(30);
/// One try of a call to S3.
const S3_TRY: Duration = Duration::from_secs(10);
/// A bucket's machine is there at once, or it is not.
const S3_CONNECT: Duration = Duration::from_secs(5);
/// Tries after the first.
const S3_RETRIES: usize = 3;

/// The store of files of one installation. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct ProofStore {
    objects: Arc<dyn ObjectStore>,
    /// All of ours are below it.
    installation: Path,
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// The id of its proof.
    pub(super) id: String,
    pub(super) path: Path,
    /// When it was written, by the store's clock.
    pub(super) written_at: Timestamp,
}

impl ProofStore {
    /// In a folder, which is made if it is missing, for this user alone.
    pub(crate) fn folder(folder: &Folder, installation: &str) -> anyhow::Result<Self> {
        folder.make()?;
        let at = folder.path().canonicalize().with_context(|| format!("--proof-store: {}", folder.path().display()))?;
        // A proof is acknowledged once it is on the disk.
        let files = LocalFileSystem::new_with_prefix(&at).context("--proof-store")?.with_fsync(true);
        Ok(Self { objects: Arc::new(files), installation: Path::from(installation) })
    }

    /// In a bucket. Nothing is asked of it yet: while it is away, everything else works.
    pub(crate) fn s3(config: &S3Config, installation: &str) -> anyhow::Result<Self> {
        let client = ClientOptions::new().with_timeout(S3_TRY).with_connect_timeout(S3_CONNECT);
        let retry = RetryConfig { max_retries: S3_RETRIES, retry_timeout: DEADLINE, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(&config.access_key_id)
            .with_secret_access_key(&config.secret_access_key)
            .with_client_options(client)
            // Not every server that speaks S3 knows how to delete many; we delete few.
            .with_disable_bulk_delete(true)
            .with_retry(retry);
        if let Some(endpoint) = &config.endpoint {
            // Whoever names a server without TLS has it beside them.
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        let bucket = builder.build().context("--proof-store")?;
        let objects: Arc<dyn ObjectStore> = match config.prefix.as_str() {
            "" => Arc::new(bucket),
            prefix => Arc::new(PrefixStore::new(bucket, prefix)),
        };
        Ok(Self { objects, installation: Path::from(installation) })
    }

    /// Writes a file, which is durable when this returns.
    pub(super) async fn put(&self, id: &str, bytes: Bytes) -> Result<()> {
        self.within(self.objects.put(&self.path(id), PutPayload::from_bytes(bytes))).await.map(|_| ())
    }

    /// Reads a file; `None` if there is none.
    pub(super) async fn get(&self, id: &str) -> Result<Option<Bytes>> {
        let path = self.path(id);
        let reading = async { self.objects.get(&path).await?.bytes().await };
        match tokio::time::timeout(DEADLINE, reading).await {
            Ok(Err(object_store::Error::NotFound { .. })) => Ok(None),
            Ok(outcome) => outcome.map(Some).map_err(|error| away(&error)),
            Err(_) => Err(slow()),
        }
    }

    /// Deletes a file. One that is gone already is gone.
    pub(super) async fn delete(&self, path: &Path) -> Result<()> {
        match tokio::time::timeout(DEADLINE, self.objects.delete(path)).await {
            Ok(Ok(()) | Err(object_store::Error::NotFound { .. })) => Ok(()),
            Ok(Err(error)) => Err(away(&error)),
            Err(_) => Err(slow()),
        }
    }

    /// Every file of this installation, up to so many at a time.
    pub(super) fn pages(&self, page: usize) -> Pages {
        Pages(self.objects.list(Some(&self.installation)).chunks(page).boxed())
    }

    async fn within<T>(&self, op: impl Future<Output = object_store::Result<T>>) -> Result<T> {
        tokio::time::timeout(DEADLINE, op).await.map_err(|_| slow())?.map_err(|error| away(&error))
    }

    /// In 256 folders, as a folder of a hundred thousand files is nobody's friend.
    fn path(&self, id: &str) -> Path {
        let shard: String = id.rsplit('_').next().unwrap_or(id).chars().take(2).collect();
        self.installation.clone().join(PathPart::from(shard)).join(PathPart::from(id))
    }
}

/// The files of an installation.
pub(super) struct Pages(BoxStream<'static, Vec<object_store::Result<ObjectMeta>>>);

impl Pages {
    /// The next of them; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Stored>>> {
        let Some(found) = tokio::time::timeout(DEADLINE, self.0.next()).await.map_err(|_| slow())? else {
            return Ok(None);
        };
        let found = found.into_iter().collect::<object_store::Result<Vec<_>>>().map_err(|error| away(&error))?;
        let stored = found.into_iter().filter_map(|meta| {
            let id = meta.location.filename()?.to_owned();
            let written_at = Timestamp::from_microsecond(meta.last_modified.timestamp_micros()).ok()?;
            Some(Stored { id, path: meta.location, written_at })
        });
        Ok(Some(stored.collect()))
    }
}

fn away(error: &object_store::Error) -> ApiError {
    tracing::warn!(error = error as &dyn std::error::Error, "the store of proofs does not do as it was told");
    ApiError::unavailable("the store of proofs is not available; try again")
}

fn slow() -> ApiError {
    tracing::warn!(seconds = DEADLINE.as_secs(), "the store of proofs does not answer in time");
    ApiError::unavailable("the store of proofs does not answer in time; try again")
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
