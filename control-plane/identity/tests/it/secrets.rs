//! Secrets of namespaces.

use jiff::SignedDuration;

use crate::fixture::{Hand, Place};

#[tokio::test]
async fn a_secret_is_resolved_in_its_namespace_and_listed_without_its_value() {
    for place in Place::both().await {
        let clock = Hand::new();
        let (a, b) = (place.open(&clock).await, place.open(&clock).await);
        assert!(a.put_secret("acme", "smtp", "geheim", "ada@example.com").await.unwrap());
        let made = clock.now();
        clock.pass(SignedDuration::from_mins(5));
        assert!(!a.put_secret("acme", "smtp", "geheimer", "operator").await.unwrap(), "it was there");
        assert!(a.put_secret("acme", "maps", "", "operator").await.unwrap());
        assert_eq!(b.resolve_secret("acme", "smtp").await.unwrap().as_deref(), Some("geheimer"));
        assert_eq!(b.resolve_secret("acme", "maps").await.unwrap().as_deref(), Some(""));
        assert_eq!(b.resolve_secret("beta", "smtp").await.unwrap(), None);

        let listed = b.secrets("acme").await.unwrap();
        assert_eq!(listed.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>(), ["maps", "smtp"]);
        let smtp = &listed[1];
        assert_eq!((smtp.created_at, smtp.updated_at, smtp.updated_by.as_str()), (made, clock.now(), "operator"));

        assert!(a.delete_secret("acme", "maps").await.unwrap());
        assert!(!a.delete_secret("acme", "maps").await.unwrap());
        a.put_secret("beta", "smtp", "other", "operator").await.unwrap();
        a.delete_secrets_of("acme").await.unwrap();
        assert_eq!(b.secrets("acme").await.unwrap(), []);
        assert_eq!(b.resolve_secret("beta", "smtp").await.unwrap().as_deref(), Some("other"));
        if let Place::Sqlite(dir) = &place {
            a.close().await;
            b.close().await;
            for file in std::fs::read_dir(dir.path()).unwrap() {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                assert!(!bytes.windows(6).any(|window| window == b"geheim"), "it lies open in the file");
            }
        }
    }
}
