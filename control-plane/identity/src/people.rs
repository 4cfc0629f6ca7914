//! What one process keeps in memory about people who log in: the room for hashing, and who has been wrong lately.

use std::sync::Mutex;

use crate::{password::Hashing, throttle::Throttle};

pub(crate) struct People {
    pub(crate) hashing: Hashing,
    pub(crate) throttle: Mutex<Throttle>,
}

impl People {
    pub(crate) fn new() -> Self {
        Self { hashing: Hashing::new(), throttle: Mutex::default() }
    }
}
