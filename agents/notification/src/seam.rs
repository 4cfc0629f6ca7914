//! What the pipeline needs of others: who takes a message, and what only the control plane may tell.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    channel::{Channel, Outgoing, Provider},
    providers::{NoProvider, Providers},
};

/// Knows who takes a message.
#[async_trait]
pub trait Route: Send + Sync {
    /// The provider of that channel for that message.
    async fn provider(&self, channel: Channel, message: &Outgoing) -> Result<Arc<dyn Provider>, NoProvider>;
}

#[async_trait]
impl Route for Providers {
    async fn provider(&self, channel: Channel, message: &Outgoing) -> Result<Arc<dyn Provider>, NoProvider> {
        Self::provider(self, channel, message).await
    }
}

/// Tells what no row may hold: links and PINs.
#[async_trait]
pub trait Vault: Send + Sync {
    /// What goes into a message, asked for just before an attempt. The same every time, until it is revoked.
    async fn reveal(&self, ask: &Ask) -> Result<Revealed, Unrevealed>;
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Of an order.
    Order {
        /// Its namespace.
        namespace: String,
        /// Its name.
        order: String,
        /// Its uid: of another order of that name nothing is told.
        uid: String,
        /// The tracking link.
        link: bool,
        /// The PIN.
        pin: bool,
    },
    /// The link of a mail of identity.
    Mail(String),
}

/// What goes into a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revealed {
    /// The link.
    pub link: Option<String>,
    /// The PIN.
    pub pin: Option<String>,
    /// The recipient has said by now that they want no messages.
    pub unwanted: bool,
}

/// Why nothing was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrevealed {
    /// There is nothing any more.
    Gone,
    /// The control plane does not answer; it will.
    Later(String),
}
