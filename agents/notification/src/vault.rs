//! Links and PINs, as the control plane reveals them to this agent alone, just before an attempt.

use async_trait::async_trait;
use dropmate_agent::reach::chain;
use http::StatusCode;
use kube::Client;
use serde::Deserialize;
use serde_json::json;

use crate::{
    ask,
    seam::{Ask, Revealed, Unrevealed, Vault},
};

/// The control plane's vault.
pub struct ControlPlane {
    client: Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    tracking_url: Option<String>,
    link: Option<String>,
    pin: Option<String>,
    notify: Option<bool>,
}

impl ControlPlane {
    /// As the client's caller.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Vault for ControlPlane {
    async fn reveal(&self, asked: &Ask) -> Result<Revealed, Unrevealed> {
        let body = match asked {
            Ask::Order { namespace, order, uid, link, pin } => {
                json!({"namespace": namespace, "order": order, "uid": uid, "link": link, "pin": pin})
            }
            Ask::Mail(id) => json!({"mail": id}),
        };
        let later = |error: ask::AskError| Unrevealed::Later(chain(&error));
        let answer = ask::post(&self.client, "/v1/internal/reveal", &body).await.map_err(later)?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(Unrevealed::Gone);
        }
        let Told { tracking_url, link, pin, notify } = answer.read().map_err(later)?;
        Ok(Revealed { link: tracking_url.or(link), pin, unwanted: notify == Some(false) })
    }
}
