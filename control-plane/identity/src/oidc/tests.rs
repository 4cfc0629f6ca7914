use rstest::rstest;
use serde_json::json;

use super::*;

fn config(issuer: &str) -> OutsideConfig {
    OutsideConfig {
        issuer: issuer.to_owned(),
        audience: "dropmate".to_owned(),
        email_claim: "upn".to_owned(),
        ca_pem: None,
        guard: Guard::default(),
        trust: Trust::machine(),
    }
}

const NOW: i64 = 1_800_000_000;

fn claims() -> Value {
    json!({
        "iss": "https://id.example/realms/shop", "aud": ["account", "dropmate"], "sub": "f3", "exp": NOW + 300,
        "iat": NOW, "upn": "Ada@Example.com", "email_verified": true,
    })
}

fn read(claims: &Value) -> Result<Stranger, TokenError> {
    stranger(&config("https://id.example/realms/shop"), claims, Timestamp::from_second(NOW).unwrap())
}

#[test]
fn a_good_token_is_its_verified_address_in_lower_case() {
    let expires_at = Timestamp::from_second(NOW + 300).unwrap();
    let ada = Stranger { subject: "f3".to_owned(), email: "ada@example.com".to_owned(), expires_at };
    assert_eq!(read(&claims()), Ok(ada));
    let mut one = claims();
    one["aud"] = json!("dropmate");
    assert!(read(&one).is_ok());
}

#[rstest]
#[case("iss", json!("https://id.example/realms/shop/"), TokenError::Claims)]
#[case("iss", json!("https://id.example"), TokenError::Claims)]
#[case("aud", json!("account"), TokenError::Claims)]
#[case("aud", json!([]), TokenError::Claims)]
#[case("aud", json!(null), TokenError::Claims)]
#[case("sub", json!(""), TokenError::Claims)]
#[case("sub", json!(7), TokenError::Claims)]
#[case("exp", json!(NOW), TokenError::Time)]
#[case("exp", json!(null), TokenError::Time)]
#[case("exp", json!("2100-01-01"), TokenError::Time)]
#[case("exp", json!(NOW + 25 * 3_600), TokenError::Time)]
#[case("iat", json!(NOW + 60), TokenError::Time)]
#[case("nbf", json!(NOW + 60), TokenError::Time)]
#[case("nbf", json!("soon"), TokenError::Time)]
#[case("email_verified", json!(false), TokenError::Claims)]
#[case("email_verified", json!("true"), TokenError::Claims)]
#[case("email_verified", json!(null), TokenError::Claims)]
#[case("upn", json!(null), TokenError::Claims)]
#[case("upn", json!("operator"), TokenError::Claims)]
#[case("upn", json!("a@b@c"), TokenError::Claims)]
#[case("upn", json!("a b@c"), TokenError::Claims)]
#[case("upn", json!("system:serviceaccount:acme:x@y"), TokenError::Claims)]
fn a_claim_that_is_not_as_it_must_be_is_refused(#[case] claim: &str, #[case] value: Value, #[case] why: TokenError) {
    let mut claims = claims();
    claims[claim] = value;
    assert_eq!(read(&claims), Err(why));
}

#[rstest]
#[case("https://id.example/realms/shop", true)]
#[case("http://127.0.0.1:9000", true)]
#[case("http://[::1]:9000", true)]
#[case("http://id.example", false)]
#[case("http://localhost.evil.example", false)]
#[case("https://user:pass@id.example", false)]
#[case("https://id.example/?a=b", false)]
#[case("https://id.example/#x", false)]
#[case("id.example", false)]
#[case("file:///etc/passwd", false)]
fn an_issuer_is_asked_over_tls_or_on_this_machine_only(#[case] issuer: &str, #[case] taken: bool) {
    let url = Url::parse(issuer);
    assert_eq!(url.is_ok_and(|url| may_fetch(&url) && url.query().is_none()), taken);
}

#[test]
fn keys_are_taken_for_the_one_algorithm_they_are_for_and_the_rest_is_passed_over() {
    // A point on the curve, and a modulus of 2048 bits.
    let (x, y) = ("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM");
    let n = BASE64.encode([0xff; 256]);
    let short = BASE64.encode([0xff; 128]);
    let set = vec![
        json!({"kty": "EC", "crv": "P-256", "kid": "ec", "x": x, "y": y}),
        json!({"kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig", "n": n, "e": "AQAB"}),
        json!({"kty": "RSA", "kid": "short", "alg": "RS256", "n": short, "e": "AQAB"}),
        json!({"kty": "RSA", "kid": "rs512", "alg": "RS512", "n": n, "e": "AQAB"}),
        json!({"kty": "RSA", "kid": "encrypts", "use": "enc", "n": n, "e": "AQAB"}),
        json!({"kty": "RSA", "n": n, "e": "AQAB"}),
        json!({"kty": "oct", "kid": "secret", "k": "AAAA"}),
        json!({"kty": "EC", "crv": "P-384", "kid": "p384", "x": x, "y": y}),
        json!({"kty": "EC", "crv": "P-256", "alg": "RS256", "kid": "confused", "x": x, "y": y}),
        json!("nonsense"),
    ];
    let mut names: Vec<(String, Algorithm)> = usable(set).into_iter().map(|(kid, key)| (kid, key.algorithm)).collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(names, [("ec".to_owned(), Algorithm::ES256), ("rsa".to_owned(), Algorithm::RS256)]);
}
