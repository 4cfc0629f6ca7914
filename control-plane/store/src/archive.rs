//! How an archived object is kept in SQL: its last state as gzip, so that years of orders fit on a small disk.

use std::io::{Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use jiff::Timestamp;

use crate::BackendError;

/// Packs a body.
pub(crate) fn pack(body: &str) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(body.as_bytes()).and_then(|()| packed.finish()).expect("writing to memory cannot fail")
}

/// Unpacks a body.
pub(crate) fn unpack(packed: &[u8]) -> Result<String, sqlx::Error> {
    let mut body = String::new();
    GzDecoder::new(packed).read_to_string(&mut body).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(body)
}

/// A column of microseconds since 1970.
pub(crate) fn timestamp(microseconds: i64) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_microsecond(microseconds).map_err(|error| sqlx::Error::Decode(error.into()))
}

impl From<sqlx::Error> for BackendError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.into())
    }
}
