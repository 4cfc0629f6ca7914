//! What the SMS service tells later: whether it came to the phone. Believed only with the account's signature. Pure.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use reqwest::Url;
use sha1::Sha1;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It is still on its way.
    Underway,
    /// It is on the phone.
    Delivered,
    /// It will not come.
    Failed {
        /// Whether the recipient wants nothing more.
        opted_out: bool,
    },
}

/// What a callback says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// What became of it.
    pub became: Became,
    /// The service's name for the message.
    pub provider_id: String,
    /// In its words.
    pub answer: String,
}

/// The fields of a form, in their order.
pub fn fields(form: &str) -> Vec<(String, String)> {
    let Ok(mut url) = Url::parse("form:") else { return Vec::new() };
    url.set_query(Some(form));
    url.query_pairs().into_owned().collect()
}

/// Whether the service has signed it: HMAC-SHA1 over the URL it called and the sorted fields, with the account's token.
/// Compared in constant time.
pub fn is_signed(token: &str, url: &str, fields: &[(String, String)], signature: &str) -> bool {
    let Ok(signature) = BASE64_STANDARD.decode(signature) else { return false };
    // A key of any length is good.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.as_bytes()) else { return false };
    mac.update(url.as_bytes());
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort();
    sorted.dedup();
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    mac.verify_slice(&signature).is_ok()
}

/// What the fields say; `None` if they say nothing of a message.
pub fn read(fields: &[(String, String)]) -> Option<Callback> {
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    let status = field("MessageStatus").or_else(|| field("SmsStatus"))?;
    let provider_id = field("MessageSid").or_else(|| field("SmsSid"))?.to_owned();
    let code = field("ErrorCode").filter(|code| !code.is_empty());
    let became = match status {
        "delivered" | "read" => Became::Delivered,
        "undelivered" | "failed" | "canceled" => Became::Failed { opted_out: code == Some("21610") },
        "accepted" | "scheduled" | "queued" | "sending" | "sent" => Became::Underway,
        _ => return None,
    };
    let known = |code: &str| code.chars().all(|c| c.is_ascii_digit()) && code.len() <= 6;
    let answer = match code.filter(|code| known(code)) {
        Some(code) => format!("{status} ({code})"),
        None => status.to_owned(),
    };
    Some(Callback { became, provider_id, answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of Twilio's documentation.
    #[test]
    fn the_services_own_example_is_believed_and_nothing_that_differs_from_it() {
        let url = "https://example.com/myapp.php?foo=1&bar=2";
        let form = "Digits=1234&To=%2B18005551212&From=%2B14158675310&Caller=%2B14158675310&CallSid=CA1234567890ABCDE";
        let (token, signature) = ("12345", "L/OH5YylLD5NRKLltdqwSvS0BnU=");
        assert!(is_signed(token, url, &fields(form), signature));
        assert!(!is_signed("12346", url, &fields(form), signature));
        assert!(!is_signed(token, "https://example.com/myapp.php", &fields(form), signature));
        assert!(!is_signed(token, url, &fields(&form.replace("1234&", "1235&")), signature));
        assert!(!is_signed(token, url, &fields(&format!("{form}&Extra=1")), signature));
        for wrong in ["", "x", "L/OH5YylLD5NRKLltdqwSvS0BnU", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
            assert!(!is_signed(token, url, &fields(form), wrong), "{wrong}");
        }
    }

    #[test]
    fn what_became_of_a_message_is_read_from_the_fields() {
        let of = |form: &str| read(&fields(form)).map(|told| (told.became, told.answer));
        let sid = "MessageSid=SM1&MessageStatus";
        assert_eq!(of(&format!("{sid}=delivered")), Some((Became::Delivered, "delivered".to_owned())));
        assert_eq!(of(&format!("{sid}=sent")), Some((Became::Underway, "sent".to_owned())));
        let failed = |opted_out, answer: &str| Some((Became::Failed { opted_out }, answer.to_owned()));
        assert_eq!(of(&format!("{sid}=undelivered&ErrorCode=30003")), failed(false, "undelivered (30003)"));
        assert_eq!(of(&format!("{sid}=failed&ErrorCode=21610")), failed(true, "failed (21610)"));
        assert_eq!(of(&format!("{sid}=failed&ErrorCode=%3Cscript%3E")), failed(false, "failed"));
        assert_eq!(of(&format!("{sid}=whatever")), None);
        assert_eq!(of("MessageStatus=delivered"), None);
        assert_eq!(of(""), None);
    }
}
