//! People, their sessions and links, as both databases must keep them.

#[path = "people/fixture.rs"]
mod fixture;
#[path = "people/links.rs"]
mod links;
#[path = "people/pairing.rs"]
mod pairing;
#[path = "people/second_factor.rs"]
mod second_factor;
#[path = "people/sessions.rs"]
mod sessions;
#[path = "people/users.rs"]
mod users;

/// Runs each of these over an identity of its own on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::people::fixture::Fixture::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::people::fixture::Fixture::postgres().await).await;
            })*
        }
    };
}
use on_both;
