//! Tells Redis what this process has to say, as much at once as waits.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    Hint,
    commands::{self, PIECE},
    link::Link,
};
use crate::metrics::Metrics;

pub(super) async fn run(link: Arc<Link>, mut hints: mpsc::Receiver<Hint>, metrics: Metrics) {
    let mut waiting = Vec::with_capacity(PIECE);
    while hints.recv_many(&mut waiting, PIECE).await > 0 {
        let mut pipeline = redis::pipe();
        commands::tell(&mut pipeline, &link, link.id(), &waiting);
        // What is lost is made good when Redis is found anew.
        if link.steady::<()>("tell", &pipeline).await.is_err() {
            metrics.dropped.inc_by(waiting.len() as u64);
        }
        waiting.clear();
    }
}
