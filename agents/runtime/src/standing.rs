//! How far an agent is, for those who watch over it.

use std::sync::{Arc, Mutex, PoisonError};

/// Where an agent stands. Clones say the same.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Mutex<Stage>>);

/// How far an agent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Not taking part in the election yet.
    #[default]
    Starting,
    /// Another leads, or nobody: ready to take over.
    StandsBy,
    /// It leads, but has not seen the world yet.
    Syncing,
    /// It leads and acts.
    Leads,
}

impl Standing {
    /// It has come to that.
    pub fn set(&self, stage: Stage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it does what it is there for.
    pub fn check(&self) -> Result<String, String> {
        match self.stage() {
            Stage::Starting => Err("starting".to_owned()),
            Stage::StandsBy => Ok("stands by".to_owned()),
            Stage::Syncing => Err("leads, but the caches are not filled yet".to_owned()),
            Stage::Leads => Ok("leads".to_owned()),
        }
    }
}
