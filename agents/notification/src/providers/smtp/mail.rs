//! The mail itself, from what it is to say. Pure.

use std::time::SystemTime;

use jiff::Timestamp;
use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};

use crate::channel::Outgoing;

/// In whose name mail goes out.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// As the recipient sees it.
    pub(crate) from: Mailbox,
    /// The operator's, where the operator's server sends for a business: that is where bounces go.
    pub(crate) envelope: Option<Mailbox>,
    /// Where answers go.
    pub(crate) reply_to: Option<Mailbox>,
    /// By which the link to a delivery is known.
    pub(crate) public_url: Option<String>,
}

/// The mail; or why it never will be one. The same text at every attempt but for the date.
pub(super) fn compose(message: &Outgoing, sender: &Sender, at: Timestamp) -> Result<Message, String> {
    let subject = message.subject.as_deref().unwrap_or_default();
    for (what, text) in [("subject", subject), ("address", message.to.as_str()), ("id", message.id.as_str())] {
        if text.chars().any(char::is_control) {
            return Err(format!("the {what} has a line break or another control character in it"));
        }
    }
    let to: Address = message.to.parse().map_err(|_| "the recipient's address is no e-mail address".to_owned())?;
    let bounces = sender.envelope.as_ref().unwrap_or(&sender.from).email.clone();
    let envelope = Envelope::new(Some(bounces), vec![to.clone()]).map_err(|error| error.to_string())?;
    let mut mail = Message::builder()
        .envelope(envelope)
        .message_id(Some(format!("<{}@dropmate>", message.id)))
        .date(SystemTime::from(at))
        .from(sender.from.clone())
        .to(Mailbox::new(None, to))
        .subject(subject)
        // RFC 3834: nobody's holiday notice answers to a machine.
        .raw_header(header("Auto-Submitted", "auto-generated"));
    if let Some(reply_to) = &sender.reply_to {
        mail = mail.reply_to(reply_to.clone());
    }
    if let Some(envelope) = sender.envelope.as_ref().filter(|envelope| envelope.email != sender.from.email) {
        // Who sends for somebody else says so.
        mail = mail.sender(envelope.clone());
    }
    let locale = &message.locale;
    if !locale.is_empty() && locale.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        mail = mail.raw_header(header("Content-Language", locale));
    }
    if let Some(link) = sender.public_url.as_ref().and_then(|url| link(&message.text, url)) {
        mail = mail.raw_header(header("List-Unsubscribe", &format!("<{link}>")));
    }
    let text = SinglePart::plain(message.text.clone());
    let made = match &message.html {
        Some(html) => {
            mail.multipart(MultiPart::alternative().singlepart(text).singlepart(SinglePart::html(html.clone())))
        }
        None => mail.singlepart(text),
    };
    made.map_err(|error| error.to_string())
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// The link to the recipient's page in a text: there messages can be turned off.
fn link<'a>(text: &'a str, public_url: &str) -> Option<&'a str> {
    let from = text.find(&format!("{public_url}/t/"))?;
    let rest = &text[from..];
    let end = rest.find(|c: char| c.is_whitespace() || "<>\"'()".contains(c)).unwrap_or(rest.len());
    let link = rest[..end].trim_end_matches(['.', ',', ';', '!', '?']);
    link.is_ascii().then_some(link)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{super::mailbox, *};

    fn sender() -> Sender {
        Sender {
            from: mailbox("Ünser Laden <shop@example.org>").unwrap(),
            envelope: Some(mailbox("Mail <bounces@host.example>").unwrap()),
            reply_to: Some(mailbox("hello@example.org").unwrap()),
            public_url: Some("https://dm.example".to_owned()),
        }
    }

    fn outgoing() -> Outgoing {
        Outgoing {
            id: "msg_abc".to_owned(),
            to: "ada@example.org".to_owned(),
            subject: Some("Ihre Lieferung ist unterwegs – bald da".to_owned()),
            text: "Hallo Ada,\nverfolgen Sie sie: https://dm.example/t/TOKEN_x-1.\n\n.\nEnde".to_owned(),
            html: Some("<p>Hallo <b>Ada</b></p>".to_owned()),
            locale: "de".to_owned(),
            ..Outgoing::default()
        }
    }

    fn made(message: &Outgoing) -> String {
        String::from_utf8(compose(message, &sender(), Timestamp::UNIX_EPOCH).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_mail_says_who_what_when_and_how_to_turn_it_off() {
        let mail = made(&outgoing());
        for line in [
            "Message-ID: <msg_abc@dropmate>\r\n",
            "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n",
            "To: ada@example.org\r\n",
            "Reply-To: hello@example.org\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Content-Language: de\r\n",
            "List-Unsubscribe: <https://dm.example/t/TOKEN_x-1>\r\n",
            "Content-Type: multipart/alternative;",
        ] {
            assert!(mail.contains(line), "{line} is missing in {mail}");
        }
        let heads = mail.find("Content-Type: text/plain").zip(mail.find("Content-Type: text/html"));
        assert!(heads.is_some_and(|(plain, html)| plain < html), "what is best stands last");
        assert!(mail.is_ascii() && mail.lines().all(|line| line.len() <= 998));
        let envelope = compose(&outgoing(), &sender(), Timestamp::UNIX_EPOCH).unwrap().envelope().clone();
        assert_eq!(envelope.from().unwrap().to_string(), "bounces@host.example");
        assert!(mail.contains("Sender: Mail <bounces@host.example>\r\n"), "{mail}");
    }

    #[test]
    fn without_html_it_is_plain_text_and_without_a_link_there_is_nothing_to_turn_off() {
        let message = Outgoing { html: None, text: "Your password".to_owned(), ..outgoing() };
        let mail = made(&message);
        assert!(mail.contains("Content-Type: text/plain") && !mail.contains("multipart"));
        assert!(!mail.contains("List-Unsubscribe"));
    }

    #[rstest]
    #[case::subject(Outgoing { subject: Some("Hi\r\nBcc: all@example.org".to_owned()), ..outgoing() })]
    #[case::subject_lf(Outgoing { subject: Some("Hi\nX: y".to_owned()), ..outgoing() })]
    #[case::address(Outgoing { to: "ada@example.org\r\nRCPT TO:<eve@example.org>".to_owned(), ..outgoing() })]
    #[case::two_addresses(Outgoing { to: "ada@example.org, eve@example.org".to_owned(), ..outgoing() })]
    #[case::address_with_a_command(Outgoing { to: "ada@example.org> SIZE=1".to_owned(), ..outgoing() })]
    #[case::no_address(Outgoing { to: "ada".to_owned(), ..outgoing() })]
    #[case::id(Outgoing { id: "msg_x>\r\nX: y".to_owned(), ..outgoing() })]
    fn nobody_writes_headers_by_way_of_a_name(#[case] message: Outgoing) {
        let refused = compose(&message, &sender(), Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(!refused.contains("ada"), "{refused}");
    }

    #[test]
    fn what_looks_like_a_header_in_the_text_stays_in_the_text() {
        let message =
            Outgoing { text: "x\r\n\r\nBcc: all@example.org\r\n.\r\nQUIT".to_owned(), html: None, ..outgoing() };
        let mail = made(&message);
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("Bcc:") && body.contains("Bcc:"));
        let locale = Outgoing { locale: "de\r\nX: y".to_owned(), ..outgoing() };
        assert!(!made(&locale).contains("X: y"));
    }
}
