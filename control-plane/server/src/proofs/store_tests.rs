//! One suite for both stores; the bucket is a small server that speaks as much of S3 as is asked of it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, Uri, header::AUTHORIZATION};
use jiff::ToSpan;

use super::*;

const KEY: &str = "AWS4-HMAC-SHA256 Credential=me/";

/// A bucket.
#[derive(Clone, Default)]
struct Bucket {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    /// Answers that are still to be failures.
    failing: Arc<AtomicU32>,
    asked: Arc<AtomicU32>,
}

impl Bucket {
    /// Serves it, and says where.
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }
}

async fn answer(
    State(bucket): State<Bucket>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    bucket.asked.fetch_add(1, Ordering::Relaxed);
    if bucket.failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let signed = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !signed.starts_with(KEY) || !signed.contains("Signature=") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Some(key) = uri.path().strip_prefix("/shop").map(|key| key.trim_start_matches('/').to_owned()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut objects = bucket.objects.lock().unwrap();
    match method {
        Method::PUT => {
            objects.insert(key, body);
            ([("etag", "\"1\"")], "").into_response()
        }
        Method::DELETE => {
            objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        Method::GET if key.is_empty() => list(&objects, &query["prefix"]),
        Method::GET => match objects.get(&key) {
            Some(bytes) => {
                let head = [("etag", "\"1\""), ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")];
                (head, bytes.clone()).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn list(objects: &BTreeMap<String, Bytes>, prefix: &str) -> Response {
    let entry = |(key, bytes): (&String, &Bytes)| {
        let size = bytes.len();
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"1\"</ETag>\
             <Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
    };
    let found: String = objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(entry).collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>shop</Name><IsTruncated>false</IsTruncated>\
         {found}</ListBucketResult>"
    );
    ([("content-type", "application/xml")], body).into_response()
}

fn config(endpoint: &str) -> S3Config {
    S3Config {
        bucket: "shop".to_owned(),
        prefix: "dropmate/proofs".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        region: "us-east-1".to_owned(),
        access_key_id: "me".to_owned(),
        secret_access_key: "secret".to_owned(),
    }
}

async fn ids(store: &ProofStore) -> Vec<String> {
    let (mut ids, mut pages) = (Vec::new(), store.pages(2));
    while let Some(page) = pages.next().await.unwrap() {
        assert!(page.len() <= 2);
        ids.extend(page.into_iter().map(|file| file.id));
    }
    ids.sort();
    ids
}

/// What holds of every store.
async fn keeps_and_gives_back(open: impl Fn(&str) -> ProofStore) {
    let (ours, theirs) = (open("ours"), open("theirs"));
    assert_eq!(ours.get("prf_a1").await.unwrap(), None);
    let large = Bytes::from(vec![7; 3 * 1024 * 1024]);
    for id in ["prf_a1", "prf_a2", "prf_b1"] {
        ours.put(id, large.clone()).await.unwrap();
    }
    theirs.put("prf_c1", Bytes::from_static(b"theirs")).await.unwrap();
    assert_eq!(ours.get("prf_a2").await.unwrap(), Some(large));
    assert_eq!(ours.get("prf_c1").await.unwrap(), None, "another installation's");
    assert_eq!(ids(&ours).await, ["prf_a1", "prf_a2", "prf_b1"]);
    let mut pages = ours.pages(10);
    let found = pages.next().await.unwrap().unwrap();
    let gone = found.iter().find(|file| file.id == "prf_a2").unwrap();
    assert!(gone.written_at > Timestamp::UNIX_EPOCH + (365 * 24).hours());
    for _ in 0..2 {
        ours.delete(&gone.path).await.unwrap();
    }
    assert_eq!(ids(&ours).await, ["prf_a1", "prf_b1"]);
    assert_eq!(ours.get("prf_a2").await.unwrap(), None);
    assert_eq!(ids(&theirs).await, ["prf_c1"]);
}

#[tokio::test]
async fn a_folder_keeps_and_gives_back() {
    let folder = tempfile::tempdir().unwrap();
    let files = Folder::private(&folder.path().join("deep/proofs"));
    keeps_and_gives_back(|installation| ProofStore::folder(&files, installation).unwrap()).await;
}

#[tokio::test]
async fn a_bucket_keeps_and_gives_back() {
    crate::install_crypto_provider();
    let bucket = Bucket::default();
    let config = config(&bucket.serve().await);
    keeps_and_gives_back(|installation| ProofStore::s3(&config, installation).unwrap()).await;
    let keys: Vec<String> = bucket.objects.lock().unwrap().keys().cloned().collect();
    assert_eq!(keys[0], "dropmate/proofs/ours/a1/prf_a1");
}

#[tokio::test]
async fn a_bucket_that_fails_for_a_moment_is_asked_again_and_one_that_stays_away_is_a_503() {
    crate::install_crypto_provider();
    let bucket = Bucket::default();
    let store = ProofStore::s3(&config(&bucket.serve().await), "ours").unwrap();
    bucket.failing.store(2, Ordering::Relaxed);
    store.put("prf_a1", Bytes::from_static(b"a")).await.unwrap();
    assert!(bucket.asked.load(Ordering::Relaxed) >= 3, "it failed twice");
    bucket.failing.store(u32::MAX, Ordering::Relaxed);
    let refused = store.put("prf_a2", Bytes::from_static(b"a")).await.unwrap_err();
    assert_eq!((refused.code().as_u16(), refused.retry_after_seconds()), (503, Some(1)));
    assert_eq!(store.get("prf_a1").await.unwrap_err().code(), 503);
    bucket.failing.store(0, Ordering::Relaxed);
    assert_eq!(store.get("prf_a1").await.unwrap().unwrap(), "a");
}
