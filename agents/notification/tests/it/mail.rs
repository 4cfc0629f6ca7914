//! E-mail to a real mail server.

use dropmate_notification::{
    channel::{Channel, Outcome, Outgoing},
    providers::OUTBOX,
};
use dropmate_outbound::Trust;
use rstest::rstest;
use serde_json::json;

use super::{
    services::MailServer,
    shop::{Shop, send, sent, to},
};

const FROM: &str = "Corner Shop <shop@example.org>";

/// A certificate for a name, and where its files are.
struct Certificate {
    dir: tempfile::TempDir,
    trust: Trust,
}

impl Certificate {
    fn of(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(dir.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        Self { dir, trust: Trust::only(made.cert.pem().as_bytes()).unwrap() }
    }

    fn server(&self, flags: &[&str]) -> MailServer {
        let path = |name| self.dir.path().join(name).to_str().unwrap().to_owned();
        let (cert, key) = (path("tls.crt"), path("tls.key"));
        MailServer::start(&[&["--cert", &cert, "--key", &key], flags].concat())
    }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written_and_each_attempt_is_the_same_mail() {
    let (shop, server) = (Shop::open().await, MailServer::start(&[]));
    let url = format!("smtp://127.0.0.1:{}?tls=none", server.port);
    let providers = shop.providers(&["--smtp-url", &url, "--mail-from", FROM], &[]);
    let message = Outgoing {
        subject: Some("Unterwegs: Törtchen für Ada".to_owned()),
        text: "Grüße!\n.\nhttps://dm.example/t/TOKEN".to_owned(),
        html: Some("<p>Grüße! <a href=\"https://dm.example/t/TOKEN\">hier</a></p>".to_owned()),
        locale: "de".to_owned(),
        ..to("ada@example.net")
    };
    for _ in 0..2 {
        let Outcome::Sent { provider_id, answer } = sent(&providers, Channel::Email, &message).await else { panic!() };
        assert_eq!(provider_id.as_deref(), Some("4XyZ12abc"));
        assert!(answer.starts_with("250 "), "{answer}");
    }
    let (mail, again) = (server.next(), server.next());
    assert_eq!((&mail.told["from"], &mail.told["to"]), (&json!("shop@example.org"), &json!(["ada@example.net"])));
    assert_eq!(mail.told["hello"], "dm.example");
    let id = format!("<{}@dropmate>", message.id);
    assert_eq!((mail.header("message-id"), again.header("message-id")), (Some(id.clone()), Some(id)));
    assert_eq!(mail.header("from").as_deref(), Some(FROM.replace("Corner Shop", "\"Corner Shop\"").as_str()));
    assert_eq!(mail.header("list-unsubscribe").as_deref(), Some("<https://dm.example/t/TOKEN>"));
    assert_eq!(mail.header("content-language").as_deref(), Some("de"));
    assert!(mail.text.is_ascii() && mail.text.contains("multipart/alternative"));
    // The second went over the connection of the first.
    assert_eq!(mail.told["connection"], again.told["connection"]);
}

#[rstest]
#[case::wrapped("smtps://me%40example.org@mail.example", "wrapped", "")]
#[case::starttls("smtp://me%40example.org@mail.example", "starttls", "?tls=required")]
#[tokio::test]
async fn it_is_sent_over_tls_to_the_named_host_after_a_login(
    #[case] url: &str,
    #[case] tls: &str,
    #[case] query: &str,
) {
    let (shop, certificate) = (Shop::open().await, Certificate::of("mail.example"));
    let server = certificate.server(&["--tls", tls, "--login", "me@example.org:hunter2"]);
    shop.lookups.set("mail.example", &[&["127.0.0.1"]]);
    let url = format!("{url}:{}{query}", server.port);
    let flags = |password: &'static str| {
        ["--smtp-url", &url, "--smtp-password", password, "--mail-from", FROM].map(str::to_owned)
    };
    let of = |password, trust| {
        let flags = flags(password);
        shop.believing(&flags.each_ref().map(String::as_str), &[], trust)
    };
    let good = of("hunter2", certificate.trust.clone());
    let outcome = sent(&good, Channel::Email, &to("ada@example.net")).await;
    assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    let mail = server.next();
    assert_eq!((&mail.told["tls"], &mail.told["user"]), (&json!(true), &json!("me@example.org")));

    let Outcome::Again { answer, .. } =
        sent(&of("wrong", certificate.trust.clone()), Channel::Email, &to("a@b.c")).await
    else {
        panic!("a login that is refused is no fault of the mail")
    };
    assert!(answer.contains("refuses the login") && !answer.contains("wrong"), "{answer}");
    // Somebody else's certificate: not a byte of the login goes over.
    let Outcome::Again { answer, .. } = sent(&of("hunter2", Trust::machine()), Channel::Email, &to("a@b.c")).await
    else {
        panic!()
    };
    assert!(answer.to_lowercase().contains("certificate"), "{answer}");
    assert!(server.is_empty());
}

#[tokio::test]
async fn a_server_that_offers_no_starttls_gets_nothing() {
    let (shop, server) = (Shop::open().await, MailServer::start(&[]));
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let providers = shop.providers(&["--smtp-url", &url, "--mail-from", FROM], &[]);
    let Outcome::Again { answer, .. } = sent(&providers, Channel::Email, &to("ada@example.net")).await else {
        panic!()
    };
    assert!(answer.contains("STARTTLS") && server.is_empty(), "{answer}");
}

#[tokio::test]
async fn what_the_server_says_decides_what_becomes_of_a_mail() {
    let (shop, server) = (Shop::open().await, MailServer::start(&[]));
    let url = format!("smtp://127.0.0.1:{}?tls=none", server.port);
    let providers = shop.providers(&["--smtp-url", &url, "--mail-from", FROM], &[]);
    let of = async |address: &str| sent(&providers, Channel::Email, &to(address)).await;

    let Outcome::Refused { answer, opted_out: false } = of("nobody@example.net").await else { panic!() };
    assert_eq!(answer, "550 5.1.1 <(recipient)>: Recipient address rejected: User unknown");
    assert!(matches!(of("spam@example.net").await, Outcome::Refused { .. }), "refused after the mail");
    assert!(server.is_empty());
    let Outcome::Unreachable { answer } = of("full@example.net").await else { panic!() };
    assert!(answer.starts_with("452 4.2.2"), "{answer}");
    assert!(matches!(of("busy@example.net").await, Outcome::Again { .. }));
    assert!(matches!(of("ada@example.net").await, Outcome::Sent { .. }), "the next one is not in the way of it");
    server.next();

    // It has the mail and hangs up: the same mail comes again, and can be known by its name.
    let message = to("vanish-once@example.net");
    let lost = sent(&providers, Channel::Email, &message).await;
    assert!(matches!(lost, Outcome::InDoubt { .. }), "{lost:?}");
    assert!(matches!(sent(&providers, Channel::Email, &message).await, Outcome::Sent { .. }));
    let (first, second) = (server.next(), server.next());
    assert_eq!(first.header("message-id"), second.header("message-id"));
    assert!(first.header("message-id").is_some());
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_no_mail() {
    let (shop, server) = (Shop::open().await, MailServer::start(&[]));
    let url = format!("smtp://127.0.0.1:{}?tls=none", server.port);
    let providers = shop.providers(&["--smtp-url", &url, "--mail-from", FROM], &[]);
    assert!(matches!(sent(&providers, Channel::Email, &to("ada@example.net")).await, Outcome::Sent { .. }));
    let port = server.kill();
    let away = sent(&providers, Channel::Email, &to("ada@example.net")).await;
    assert!(matches!(away, Outcome::Again { .. }), "{away:?}");
    let server = MailServer::start(&["--port", &port.to_string()]);
    assert!(matches!(sent(&providers, Channel::Email, &to("ada@example.net")).await, Outcome::Sent { .. }));
    let port = server.kill();
    // The connection that is kept is dead, and its server is there again: this mail must not be in doubt.
    let server = MailServer::start(&["--port", &port.to_string()]);
    let outcome = sent(&providers, Channel::Email, &to("ada@example.net")).await;
    assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    server.next();
    assert!(server.is_empty(), "once");
}

#[tokio::test]
async fn nobody_adds_headers_or_recipients_by_way_of_a_name() {
    let (shop, server) = (Shop::open().await, MailServer::start(&[]));
    let url = format!("smtp://127.0.0.1:{}?tls=none", server.port);
    let providers = shop.providers(&["--smtp-url", &url, "--mail-from", FROM], &[]);
    for message in [
        Outgoing { subject: Some("Hi\r\nBcc: eve@example.net".to_owned()), ..to("ada@example.net") },
        Outgoing { to: "ada@example.net>\r\nRCPT TO:<eve@example.net".to_owned(), ..to("") },
        Outgoing { to: "ada@example.net,eve@example.net".to_owned(), ..to("") },
    ] {
        let refused = sent(&providers, Channel::Email, &message).await;
        assert!(matches!(refused, Outcome::Refused { opted_out: false, .. }), "{refused:?}");
    }
    let message = Outgoing {
        subject: Some("=?utf-8?q?Hi?= <script> {{ secret }}".to_owned()),
        text: "x\r\n.\r\nMAIL FROM:<eve@example.net>\r\nRCPT TO:<eve@example.net>\r\nDATA\r\nspam\r\n.\r\n".to_owned(),
        ..to("ada@example.net")
    };
    assert!(matches!(sent(&providers, Channel::Email, &message).await, Outcome::Sent { .. }));
    let mail = server.next();
    assert_eq!(mail.told["to"], json!(["ada@example.net"]));
    assert!(mail.header("bcc").is_none() && server.is_empty(), "one mail, to one");
}

#[tokio::test]
async fn a_businesss_own_server_is_asked_as_it_says_and_never_inside() {
    let (shop, certificate) = (Shop::open().await, Certificate::of("mail.shop.example"));
    let server = certificate.server(&["--tls", "wrapped", "--login", "me:hunter2"]);
    // 127.0.0.1 plays a public address where it is allowed.
    shop.lookups.set("mail.shop.example", &[&["127.0.0.1"]]);
    let email = json!({"email": {
        "from": "Own Shop <own@shop.example>", "replyTo": "hello@shop.example",
        "server": {"host": "mail.shop.example", "port": server.port, "security": "Tls", "secretName": "smtp"},
    }});
    shop.policy("mine", &email).await;
    let message = Outgoing { policy: "mine".to_owned(), ..to("ada@example.net") };
    let open = shop.believing(&[], &["127.0.0.1/32"], certificate.trust.clone());
    let missing = send(&open, Channel::Email, &message).await.unwrap_err();
    assert!(missing.wait.is_some() && missing.why.contains("\"smtp\" is missing"), "{missing:?}");
    let fresh = || shop.believing(&[], &["127.0.0.1/32"], certificate.trust.clone());
    shop.secret("smtp", "hunter2").await;
    let misread = send(&fresh(), Channel::Email, &message).await.unwrap_err();
    assert!(misread.why.contains("username") && !misread.why.contains("hunter2"), "{misread:?}");
    shop.secret("smtp", r#"{"username": "me", "password": "hunter2"}"#).await;
    let outcome = sent(&fresh(), Channel::Email, &message).await;
    assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    let mail = server.next();
    assert_eq!((&mail.told["from"], &mail.told["user"]), (&json!("own@shop.example"), &json!("me")));
    assert_eq!(mail.header("reply-to").as_deref(), Some("hello@shop.example"));
    assert_eq!(mail.header("sender"), None);

    let guarded = shop.believing(&[], &[], certificate.trust.clone());
    let Outcome::Again { answer, .. } = sent(&guarded, Channel::Email, &message).await else { panic!() };
    assert!(answer.contains("loopback") && answer.contains("--allow-outbound"), "{answer}");
    assert!(server.is_empty());
}

#[tokio::test]
async fn over_the_operators_server_a_business_sends_in_its_name_and_bounces_go_to_the_operator() {
    let (shop, server) = (Shop::open().await, MailServer::start(&[]));
    let url = format!("smtp://127.0.0.1:{}?tls=none", server.port);
    shop.policy("mine", &json!({"email": {"from": "Own Shop <own@shop.example>"}})).await;
    let providers = shop.providers(&["--smtp-url", &url, "--mail-from", "Post <post@host.example>"], &[]);
    let message = Outgoing { policy: "mine".to_owned(), ..to("ada@example.net") };
    assert!(matches!(sent(&providers, Channel::Email, &message).await, Outcome::Sent { .. }));
    let mail = server.next();
    assert_eq!(mail.told["from"], "post@host.example");
    assert_eq!(mail.header("from").as_deref(), Some("\"Own Shop\" <own@shop.example>"));
    assert_eq!(mail.header("sender").as_deref(), Some("Post <post@host.example>"));
}

#[tokio::test]
async fn where_nothing_is_set_up_messages_stay_in_the_outbox_which_says_so() {
    let shop = Shop::open().await;
    let providers = shop.providers(&[], &[]);
    for (channel, flag) in [(Channel::Email, "--smtp-url"), (Channel::Sms, "--sms-account")] {
        let message = to("ada@example.net");
        let provider = providers.provider(channel, &message).await.unwrap();
        assert_eq!(provider.name(), OUTBOX);
        let Outcome::Sent { answer, .. } = provider.send(&message).await else { panic!() };
        assert!(answer.contains("sent to nobody") && answer.contains(flag), "{answer}");
    }
}
