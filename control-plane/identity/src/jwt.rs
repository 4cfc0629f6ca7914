//! Stand-in until the access tokens are merged.

use crate::{Identity, Result};

pub struct UserClaims {
    pub uid: String,
    pub email: String,
    pub name: String,
    pub verified: bool,
    pub sid: String,
}

impl Identity {
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "a stand-in")]
    pub fn issue_access(&self, who: &UserClaims) -> Result<String> {
        Ok(format!("unsigned:{}:{}:{}:{}:{}", who.uid, who.email, who.name, who.verified, who.sid))
    }

    #[expect(clippy::unused_async, reason = "a stand-in")]
    pub(crate) async fn heard_of_changes(&self) {}
}

/// Stand-in for the sealing key.
pub struct Sealer;

impl Identity {
    #[expect(clippy::unused_self, reason = "a stand-in")]
    pub(crate) fn sealer(&self) -> Sealer {
        Sealer
    }
}

#[expect(clippy::unused_self, reason = "a stand-in")]
impl Sealer {
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>> {
        Ok([context.as_bytes(), &[0], plain].concat())
    }

    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let plain = sealed.strip_prefix(context.as_bytes()).and_then(|rest| rest.strip_prefix(&[0]));
        plain.map(<[u8]>::to_vec).ok_or_else(|| crate::Error::Internal("sealed elsewhere".to_owned()))
    }
}
