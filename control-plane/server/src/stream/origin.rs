//! From which pages a browser may open streams.

use std::sync::Arc;

use crate::{args::PublicUrl, edge::Edge, kubeconfig};

/// The origins whose pages may.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins(Arc<[String]>);

impl Origins {
    /// This server's own, as it is reached from outside and on this machine, and what the operator names besides.
    pub(crate) fn of(edge: &Edge, public_url: Option<&PublicUrl>, more: Vec<String>) -> Self {
        let local = kubeconfig::local_url(edge.bound());
        let by_name = format!("https://localhost:{}", edge.bound().port());
        let own = [Some(edge.url().to_owned()), Some(local), Some(by_name), public_url.map(PublicUrl::origin)];
        Self(own.into_iter().flatten().chain(more).collect())
    }

    /// Whether that origin may; where there is none, no browser asks.
    pub(super) fn allow(&self, origin: &str) -> bool {
        origin.is_empty() || self.0.iter().any(|allowed| allowed == origin)
    }
}
