//! Where messages go to and come from, as people write it: URLs, mailboxes, names of secrets.

use serde_json::Value;

use crate::validation::{Cause, is_dns_subdomain};

/// What is wrong with the URL of somebody who is to be called.
///
/// Whether its host may be connected to is decided when it is, for names change their addresses.
pub(crate) fn url(text: &str) -> Result<(), String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or("must begin with https:// (or http://, where the operator allows it)")?;
    if text.chars().any(|letter| letter.is_whitespace() || letter.is_control() || !letter.is_ascii()) {
        return Err("must have no spaces and no letters beyond ASCII; percent-encode them".to_owned());
    }
    if text.contains('#') {
        return Err("must have no #fragment: it is never sent".to_owned());
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let authority = &rest[..end];
    if authority.contains('@') {
        return Err(
            "must have no user and password, which anybody who reads the object would see; keep them as a secret \
                    (dropmate secret set) and name that"
                .to_owned(),
        );
    }
    let (host, port) = if let Some(literal) = authority.strip_prefix('[') {
        let (host, after) = literal.split_once(']').ok_or("has an IPv6 address that does not end with ]")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| "has no IPv6 address between [ and ]".to_owned())?;
        ("v6", after.strip_prefix(':').or_else(|| after.is_empty().then_some("")))
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        }
    };
    self::host(host)?;
    match port {
        Some("") if !authority.ends_with(':') => Ok(()),
        Some(port) if port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
        _ => Err("must have a port between 1 and 65535 after the colon".to_owned()),
    }
}

/// What is wrong with the name of a host.
pub(crate) fn host(name: &str) -> Result<(), String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 253 && name.strip_suffix('.').unwrap_or(name).split('.').all(label) {
        return Ok(());
    }
    Err("must name a host, such as mail.example.org".to_owned())
}

/// What is wrong with `shop@example.org` or `Corner Shop <shop@example.org>`.
pub(crate) fn mailbox(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) {
        return Err("must be one line".to_owned());
    }
    let text = text.trim();
    let bare = match text.split_once('<') {
        None => text,
        Some((name, rest)) => {
            let unquoted = name.trim().strip_prefix('"').and_then(|name| name.strip_suffix('"'));
            if unquoted.unwrap_or(name).contains(['"', '@', ',', ';', '<', '>']) {
                return Err("must have a plain name before the address: Corner Shop <shop@example.org>".to_owned());
            }
            rest.strip_suffix('>').ok_or("must end with > after the address: Corner Shop <shop@example.org>")?
        }
    };
    let (local, domain) = bare.rsplit_once('@').unwrap_or_default();
    let sane = |letter: char| !letter.is_whitespace() && !",;:<>()[]\"\\".contains(letter);
    let fine = !local.is_empty()
        && local.len() <= 64
        && !local.contains('@')
        && bare.chars().all(sane)
        && domain.contains(|letter: char| letter != '.')
        && (host(domain).is_ok() || !domain.is_ascii());
    if fine { Ok(()) } else { Err("must be shop@example.org or Corner Shop <shop@example.org>".to_owned()) }
}

/// The name of a secret of the namespace.
pub(crate) fn secret(causes: &mut Vec<Cause>, field: &str, name: &str) {
    if !is_dns_subdomain(name) {
        let detail = "must be the name of a secret (lower case letters, digits, '-' and '.'), not the secret itself; \
                      dropmate secret set NAME keeps one";
        causes.push(Cause::invalid(field, &Value::from(name), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for fine in [
            "https://example.org",
            "https://example.org:8443/hooks/1?x=%20",
            "http://10.0.0.7:80/",
            "https://[2001:db8::1]:443/x",
            "https://a_b.example.org?x",
        ] {
            assert_eq!(url(fine), Ok(()), "{fine}");
        }
        for wrong in [
            "ftp://example.org",
            "https://",
            "https:///x",
            "https://exa mple.org",
            "https://user@example.org",
            "https://example.org:0",
            "https://example.org:",
            "https://example.org:99999",
            "https://[::1",
            "https://[nonsense]/",
            "https://example.org/#x",
            "https://example.org/ü",
            "https://-x.org",
            "https://example.org\r\nHost: x",
        ] {
            assert!(url(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn mailboxes() {
        for fine in ["shop@example.org", "Corner Shop <shop@example.org>", "\"Shop, Inc\" <a@b.c>", "shop@localhost"] {
            let expected = if fine.contains(',') { mailbox(fine).is_err() } else { mailbox(fine).is_ok() };
            assert!(expected, "{fine}");
        }
        for wrong in [
            "shop",
            "@example.org",
            "shop@",
            "a@b@c",
            "Shop <shop@example.org",
            "shop@example.org, other@example.org",
            "Shop <shop@example.org>\r\nBcc: all@example.org",
            "a b@example.org",
            "x@-y.org",
        ] {
            assert!(mailbox(wrong).is_err(), "{wrong:?}");
        }
    }
}
