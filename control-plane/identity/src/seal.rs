//! Sealing: what must be read again (private keys, secrets, second factors) lies encrypted in the database, under a key
//! that is not in it.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use sha2::{Digest, Sha256};

use crate::{Error, Identity};

/// Bytes of the sealing key.
const KEY_BYTES: usize = 32;
/// The first byte of what is sealed so: the form of the rest.
const FORM: u8 = 1;
/// Bytes that name the key, so that a wrong one is told from a damaged value.
const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const HEAD_BYTES: usize = 1 + ID_BYTES + NONCE_BYTES;

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The text is no key.
    #[error("a sealing key is {KEY_BYTES} bytes in hex (64 digits); make one with `openssl rand -hex 32`")]
    Key,
    /// It was sealed with another key.
    #[error(
        "{context} was sealed with the key {sealed_with}, but this one is {key}: start with the --secrets-key-file that \
         was used before"
    )]
    OtherKey {
        /// What was to be opened.
        context: String,
        /// The name of the key it was sealed with.
        sealed_with: String,
        /// The name of the key at hand.
        key: String,
    },
    /// It is damaged, or belongs elsewhere.
    #[error("{context} cannot be opened: it is damaged, or was moved here from elsewhere")]
    Damaged {
        /// What was to be opened.
        context: String,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// Seals and opens with one key.
#[derive(Clone)]
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    id: [u8; ID_BYTES],
}

impl Sealer {
    /// From a key in hex, with white space around it.
    pub fn from_hex(text: &str) -> Result<Self, SealError> {
        let text = text.trim();
        let mut key = [0; KEY_BYTES];
        if text.len() != 2 * KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(SealError::Key);
        }
        for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| SealError::Key)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| SealError::Key)?;
        }
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(
            &Sha256::new().chain_update("dropmate sealing key").chain_update(key).finalize()[..ID_BYTES],
        );
        Ok(Self { cipher: XChaCha20Poly1305::new(&key.into()), id })
    }

    /// Seals a value. `context` says what it is (`secrets/NAMESPACE/NAME`): it opens under the same one only.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
        let payload = Payload { msg: plain, aad: context.as_bytes() };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| SealError::Damaged { context: context.to_owned() })?;
        Ok([&[FORM], &self.id[..], &nonce[..], &sealed].concat())
    }

    /// Opens what was sealed under the same context.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let damaged = || SealError::Damaged { context: context.to_owned() };
        if sealed.len() < HEAD_BYTES || sealed[0] != FORM {
            return Err(damaged());
        }
        let (id, rest) = sealed[1..].split_at(ID_BYTES);
        if id != self.id {
            return Err(SealError::OtherKey {
                context: context.to_owned(),
                sealed_with: name(id),
                key: name(&self.id),
            });
        }
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
        let payload = Payload { msg: sealed, aad: context.as_bytes() };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| damaged())
    }
}

impl Identity {
    /// Seals a value that another schema keeps. `context` says what it is, as of [`Sealer::seal`].
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.sealer().seal(context, plain)?)
    }

    /// Opens what was sealed under the same context.
    pub fn open_sealed(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.sealer().open(context, sealed)?)
    }
}

/// Without the key.
impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("key", &name(&self.id)).finish_non_exhaustive()
    }
}

fn name(id: &[u8]) -> String {
    use std::fmt::Write;
    id.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer(digit: &str) -> Sealer {
        Sealer::from_hex(&digit.repeat(64)).unwrap()
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_under_its_context_and_a_changed_byte_shows(
            plain in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), bit in 0..8_u8,
        ) {
            let mut sealed = sealer("a").seal("secrets/acme/smtp", &plain).unwrap();
            prop_assert_eq!(sealer("a").open("secrets/acme/smtp", &sealed).unwrap(), plain);
            prop_assert!(sealer("a").open("secrets/beta/smtp", &sealed).is_err());
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(sealer("a").open("secrets/acme/smtp", &sealed).is_err());
            prop_assert!(sealer("a").open("secrets/acme/smtp", &sealed[..at]).is_err());
        }
    }

    #[test]
    fn the_wrong_key_is_named_with_the_flag_to_set() {
        let sealed = sealer("a").seal("secrets/acme/smtp", b"geheim").unwrap();
        let refused = sealer("b").open("secrets/acme/smtp", &sealed).unwrap_err();
        assert!(matches!(refused, SealError::OtherKey { .. }));
        assert!(refused.to_string().contains("--secrets-key-file"), "{refused}");
    }

    #[test]
    fn two_sealings_of_one_value_differ_and_do_not_hold_it() {
        let [a, b] = [(); 2].map(|()| sealer("a").seal("x", b"geheim").unwrap());
        assert_ne!(a, b);
        assert!(!a.windows(6).any(|window| window == b"geheim"));
    }

    #[test]
    fn a_key_is_64_hex_digits() {
        assert!(Sealer::from_hex(&format!("{}\n", "0f".repeat(32))).is_ok());
        for wrong in ["", "abc", &"g".repeat(64), &"0".repeat(63), &"0".repeat(66), &"é".repeat(32), &"+1".repeat(32)]
        {
            assert!(matches!(Sealer::from_hex(wrong), Err(SealError::Key)), "{wrong}");
        }
    }
}
