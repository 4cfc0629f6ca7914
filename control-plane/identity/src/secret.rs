//! Random tokens and codes: handed out once, kept as a hash.

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Random bytes in a token: beyond guessing.
const BYTES: usize = 32;

/// A token that nobody can guess, in hex.
pub(crate) fn new_secret() -> Result<String> {
    let mut random = [0; BYTES];
    getrandom::fill(&mut random).map_err(|error| Error::Internal(format!("no random bytes: {error}")))?;
    Ok(hex::encode(random))
}

/// How a token is kept. No salt and no stretching: there is nothing to guess.
pub(crate) fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}
