//! The keys that sign what goes to an endpoint: one, or several while they are changed.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What a secret begins with as the standard writes it.
const PREFIX: &str = "whsec_";

/// Keys at once: the old and the new one, with room for a change that was broken off.
const KEYS_MAX: usize = 4;

/// Shortest key in bytes: what is shorter can be guessed.
const BYTES_MIN: usize = 16;

/// Padded or not, as people copy it.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys of an endpoint, shown nowhere.
#[derive(Clone)]
pub struct Keys(Vec<Vec<u8>>);

/// Why a secret signs nothing. Said after the secret's name; holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// There is none.
    #[error("holds no key; write whsec_ and the key in Base64")]
    None,
    /// Too many.
    #[error("holds more than {KEYS_MAX} keys; take out those that are no longer in use")]
    Many,
    /// It is not what it says.
    #[error("holds a key that is not Base64 after whsec_")]
    Form,
    /// Too short.
    #[error("holds a key of less than {BYTES_MIN} bytes, which can be guessed")]
    Short,
}

impl Keys {
    /// From a secret: `whsec_…`, several with a space between them. What does not begin so is taken as it stands.
    pub fn parse(secret: &str) -> Result<Self, KeysError> {
        let mut keys = Vec::new();
        for word in secret.split_ascii_whitespace() {
            let key = match word.strip_prefix(PREFIX) {
                Some(text) => FORGIVING.decode(text).map_err(|_| KeysError::Form)?,
                None => word.as_bytes().to_vec(),
            };
            if key.len() < BYTES_MIN {
                return Err(KeysError::Short);
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(KeysError::None),
            1..=KEYS_MAX => Ok(Self(keys)),
            _ => Err(KeysError::Many),
        }
    }

    /// `v1,…` by each key, with a space between them.
    pub fn signature(&self, id: &str, at: i64, body: &[u8]) -> String {
        let by = |key: &Vec<u8>| {
            // A key of any length is good.
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(format!("{id}.{at}.").as_bytes());
            mac.update(body);
            Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
        };
        self.0.iter().filter_map(by).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_signature_is_as_the_standard_says() {
        let keys = Keys::parse(SECRET).unwrap();
        let signed = keys.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = Keys::parse(&format!("{SECRET}  a-key-of-plain-text\n")).unwrap();
        let both = both.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert!(both.starts_with(&format!("{signed} v1,")) && both.split(' ').count() == 2, "{both}");
    }

    #[test]
    fn what_signs_nothing_is_told_without_telling_it() {
        for (secret, error) in [
            ("", KeysError::None),
            ("  \n", KeysError::None),
            ("whsec_", KeysError::Short),
            ("whsec_not/base64!", KeysError::Form),
            ("hunter2", KeysError::Short),
            (&[SECRET; 5].join(" "), KeysError::Many),
        ] {
            assert_eq!(Keys::parse(secret).unwrap_err(), error, "{secret}");
        }
        assert!(!format!("{:?}", Keys::parse(SECRET).unwrap()).contains("Mf"));
        assert!(Keys::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAA").is_ok(), "without its padding");
    }
}
