//! What happened to a webhook.

use jiff::Timestamp;

use crate::Webhook;

/// Nothing is sent to it any more.
pub const DISABLED: &str = "webhook.disabled";

/// When the webhook was disabled, if one revision did it.
pub fn disabled(before: Option<&Webhook>, after: Option<&Webhook>) -> Option<Timestamp> {
    let at = |webhook: Option<&Webhook>| webhook?.status.as_ref()?.disabled_at;
    at(after).filter(|_| at(before).is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_told_once_and_anew_after_it_was_enabled() {
        let webhook = |disabled_at: Option<&str>| -> Webhook {
            serde_json::from_value(json!({
                "apiVersion": "dropmate.dev/v1", "kind": "Webhook", "metadata": {"name": "erp", "namespace": "acme"},
                "spec": {"url": "https://erp.example/hook", "secretName": "erp"}, "status": {"disabledAt": disabled_at},
            }))
            .unwrap()
        };
        let (on, off) = (webhook(None), webhook(Some("2026-11-29T12:00:00Z")));
        let later = webhook(Some("2026-11-29T13:00:00Z"));
        assert_eq!(disabled(Some(&on), Some(&off)), "2026-11-29T12:00:00Z".parse().ok());
        for (before, after) in [(&off, &off), (&off, &on), (&on, &on), (&off, &later)] {
            assert_eq!(disabled(Some(before), Some(after)), None);
        }
        assert_eq!((disabled(None, Some(&on)), disabled(Some(&off), None)), (None, None));
    }
}
