//! Where the addresses of a name come from.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

/// Addresses to come.
pub type Found<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Resolves names.
pub trait Lookup: Send + Sync {
    /// The addresses of a name at this moment.
    fn addresses<'a>(&'a self, name: &'a str) -> Found<'a>;
}

/// As the machine resolves names.
struct System;

impl Lookup for System {
    fn addresses<'a>(&'a self, name: &'a str) -> Found<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect()) })
    }
}

/// What a guard resolves names with.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Lookup>);

impl Resolver {
    pub(crate) fn new(lookup: Arc<dyn Lookup>) -> Self {
        Self(lookup)
    }

    pub(crate) async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.0.addresses(name).await
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self(Arc::new(System))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// Names with known addresses: a hosts file, of which each next question may have another answer. Other names do not exist.
/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Lookups(Arc<Mutex<BTreeMap<String, Vec<Vec<IpAddr>>>>>);

impl Lookups {
    /// What a name is, asked once, twice, …; the last answer stays. Panics if something is no address.
    pub fn set(&self, name: &str, answers: &[&[&str]]) {
        let address = |text: &&str| text.parse().expect("an address");
        let answers = answers.iter().map(|answer| answer.iter().map(address).collect()).rev().collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), answers);
    }
}

impl Lookup for Lookups {
    fn addresses<'a>(&'a self, name: &'a str) -> Found<'a> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match known.get_mut(name) {
            Some(answers) if answers.len() > 1 => answers.pop(),
            Some(answers) => answers.last().cloned(),
            None => None,
        };
        Box::pin(std::future::ready(found.ok_or_else(|| io::ErrorKind::NotFound.into())))
    }
}
