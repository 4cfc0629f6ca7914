//! Passwords: what a good one is, and Argon2id, of which only so much runs at a time.

use std::{sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::{Error as HashError, phc::PasswordHash},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, Result};

/// Characters of a password. Fifteen is what stands alone, without a second factor.
pub const CHARACTERS_MIN: usize = 15;
/// More than any pass phrase has.
pub const CHARACTERS_MAX: usize = 128;
/// Different characters of a password: fewer is one character, or one short word, over and over.
const DIFFERENT_MIN: usize = 5;
/// What must be left of a password once the user's address and name, which everybody knows, are taken out.
const OWN_MIN: usize = 8;

/// Hashes computed at a time: each takes 19 MiB and a core.
pub const HASHES_AT_ONCE: usize = 2;
/// Hashes that may wait for their turn: about two seconds' worth.
pub const HASHES_WAITING: usize = 64;
/// How long one waits at most, on a machine that is slower than that.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Seconds after which whoever found the queue full may try again.
pub const BUSY_SECONDS: u32 = 2;

/// Verified against where there is no user, so that it takes as long as where there is one. Nobody knows a password for
/// it: its hash is no hash of anything.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Long enough, and still among the first that are tried.
const COMMON: [&str; 32] = [
    "123456789012345",
    "1234567890123456",
    "12345678901234567890",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb",
    "administrator123",
    "administratorpassword",
    "changemechangeme",
    "changethispassword",
    "correcthorsebatterystaple",
    "correct horse battery staple",
    "correct-horse-battery-staple",
    "defaultpassword",
    "dropmatedropmate",
    "dropmatepassword",
    "iloveyouiloveyou",
    "letmeinletmeinletmein",
    "mypasswordispassword",
    "passwordpassword",
    "passwordpassword1",
    "password12345678",
    "password123456789",
    "password1234567890",
    "password123password",
    "p@ssw0rdp@ssw0rd",
    "qazwsxedcrfvtgb",
    "qwertyqwertyqwerty",
    "qwertyuiop12345",
    "qwertyuiop1234567890",
    "thisisapassword",
    "thisismypassword",
    "welcomewelcome123",
];

/// Rows of keyboards, forwards; a password that walks along one of them is no password.
const ROWS: [&str; 4] = [
    "qwertyuiopasdfghjklzxcvbnm1234567890",
    "1234567890qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm1234567890",
    "azertyuiopqsdfghjklmwxcvbn1234567890",
];

/// Why a password is not taken, for its user; `None` where it is good.
pub(crate) fn weakness(password: &str, email: &str, name: &str) -> Option<String> {
    let count = password.chars().count();
    if count < CHARACTERS_MIN {
        return Some(format!("has {count} characters; at least {CHARACTERS_MIN} are needed: take a few words"));
    }
    if count > CHARACTERS_MAX {
        return Some(format!("has {count} characters; at most {CHARACTERS_MAX} are taken"));
    }
    let lower = password.to_lowercase();
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < DIFFERENT_MIN || repeats(&lower) {
        return Some("repeats itself; take a few words".to_owned());
    }
    if COMMON.contains(&lower.as_str()) || walks(&lower) {
        return Some("is among the first that are guessed; take a few words of your own".to_owned());
    }
    let mut own = lower;
    let (local, _) = email.split_once('@').unwrap_or((email, ""));
    for known in [email, &name.to_lowercase(), local] {
        // Of shorter ones a pass phrase may have some by chance.
        if known.len() >= 4 {
            own = own.replace(known, "");
        }
    }
    if own.chars().count() < OWN_MIN {
        return Some("is little more than the e-mail address or the name; take a few words".to_owned());
    }
    None
}

/// Whether the text is one piece of at most a quarter of its length, over and over (the last time maybe in part).
fn repeats(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    (1..=characters.len() / 4).any(|period| characters.iter().zip(&characters[period..]).all(|(a, b)| a == b))
}

/// Whether the text counts up or down, or walks along the keyboard.
fn walks(text: &str) -> bool {
    let characters: Vec<u32> = text.chars().map(u32::from).collect();
    let counts = |step: i64| {
        let follows = |pair: &[u32]| {
            let (a, b) = (i64::from(pair[0]), i64::from(pair[1]));
            // After 9 comes 0, after z comes a.
            b - a == step || (a - b == 9 * step && pair.iter().all(|c| (48..58).contains(c))) || a - b == 25 * step
        };
        characters.windows(2).all(follows)
    };
    let reversed: String = text.chars().rev().collect();
    let along = |row: &str| {
        let round = row.repeat(4);
        round.contains(text) || round.contains(&reversed)
    };
    counts(1) || counts(-1) || ROWS.iter().any(|row| along(row))
}

/// Argon2id with a bound on how much of it runs and waits. Clones share the bound.
#[derive(Clone, Debug)]
pub(crate) struct Hashing {
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// The turn of one hash, given back when it is dropped. To be waited for before anything else is done for somebody whom
/// nobody knows: the database is then asked by as few at a time.
#[derive(Debug)]
#[must_use]
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    _running: OwnedSemaphorePermit,
}

impl Hashing {
    pub(crate) fn new() -> Self {
        let places = Semaphore::new(HASHES_AT_ONCE + HASHES_WAITING);
        Self { running: Arc::new(Semaphore::new(HASHES_AT_ONCE)), places: Arc::new(places) }
    }

    /// Waits for a turn, if there is a place in the queue.
    pub(crate) async fn turn(&self) -> Result<Turn> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
        match tokio::time::timeout(WAIT_MAX, self.running.clone().acquire_owned()).await {
            Ok(Ok(running)) => Ok(Turn { _place: place, _running: running }),
            _ => Err(Error::Busy),
        }
    }
}

/// The password's hash, in the PHC form.
pub(crate) async fn hash(turn: Turn, password: &str) -> Result<String> {
    let password = password.to_owned();
    let hashed = run(turn, move || argon2().hash_password(password.as_bytes()).map(|hash| hash.to_string()));
    hashed.await?.map_err(|error| Error::Internal(error.to_string()))
}

/// Whether it is the password of that hash. Without a hash it never is, which takes as long.
pub(crate) async fn verify(turn: Turn, password: &str, hash: Option<&str>) -> Result<bool> {
    let (password, hash) = (password.to_owned(), hash.unwrap_or(NOBODY).to_owned());
    let verified = run(turn, move || {
        let hash = PasswordHash::new(&hash).map_err(HashError::from)?;
        argon2().verify_password(password.as_bytes(), &hash)
    });
    match verified.await? {
        Ok(()) => Ok(true),
        Err(HashError::PasswordInvalid) => Ok(false),
        Err(error) => Err(Error::Internal(error.to_string())),
    }
}

/// Runs it on a thread that may block.
async fn run<T: Send + 'static>(turn: Turn, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let working = tokio::task::spawn_blocking(move || {
        let done = work();
        // Not before, even if whoever asked has gone away: the bound is on what runs.
        drop(turn);
        done
    });
    working.await.map_err(|error| Error::Internal(error.to_string()))
}

fn argon2() -> Argon2<'static> {
    // 19 MiB, two passes, one lane: what OWASP recommends as the least.
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::short("vierzehn lang")]
    #[case::common("Correct Horse Battery Staple")]
    #[case::one_character("aaaaaaaaaaaaaaaaaaaa")]
    #[case::one_word("geheimgeheimgeheimgeheimgeheim")]
    #[case::counts_up("456789012345678901")]
    #[case::counts_down("zyxwvutsrqponmlkji")]
    #[case::keyboard("asdfghjklzxcvbnm")]
    #[case::keyboard_backwards("mnbvcxzlkjhgfdsa")]
    #[case::address("ada@example.com")]
    #[case::address_and_year("ada@example.com2026")]
    #[case::name("Ada Lovelace 1815")]
    fn a_password_that_is_guessed_first_is_refused(#[case] password: &str) {
        assert!(weakness(password, "ada@example.com", "Ada Lovelace").is_some(), "{password}");
    }

    #[rstest]
    #[case("four words are plenty")]
    #[case("ada likes brass engines")]
    #[case("ägäische Möwen über Süd")]
    #[case("0x7f3a9c1e55d2b8")]
    fn a_good_password_is_taken(#[case] password: &str) {
        assert_eq!(weakness(password, "ada@example.com", "Ada Lovelace"), None);
    }

    #[test]
    fn the_bounds_on_length_are_counted_in_characters() {
        let text = |count| "aäbßc–defgh".chars().cycle().take(count).collect::<String>();
        let weak = |count: usize| weakness(&format!("{}!", text(count - 1)), "", "").is_some();
        assert_eq!([weak(14), weak(15), weak(128), weak(129)], [true, false, false, true]);
    }

    #[tokio::test]
    async fn a_hash_is_of_its_password_alone_and_never_the_same_twice() {
        let hashing = Hashing::new();
        let made = hash(hashing.turn().await.unwrap(), "four words are plenty").await.unwrap();
        assert!(made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{made}");
        assert_ne!(made, hash(hashing.turn().await.unwrap(), "four words are plenty").await.unwrap());
        for (password, right) in [("four words are plenty", true), ("four words are plentY", false)] {
            assert_eq!(verify(hashing.turn().await.unwrap(), password, Some(&made)).await.unwrap(), right);
        }
    }

    #[tokio::test]
    async fn where_there_is_no_user_the_same_work_is_done() {
        let hashing = Hashing::new();
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let real = PasswordHash::new(&hash(hashing.turn().await.unwrap(), "x").await.unwrap()).unwrap();
        assert_eq!((nobody.algorithm, nobody.version), (real.algorithm, real.version));
        assert_eq!(nobody.params.as_str(), real.params.as_str());
        let length = |hash: &PasswordHash| (hash.salt.unwrap().len(), hash.hash.unwrap().len());
        assert_eq!(length(&nobody), length(&real));
        for password in ["", "x", "four words are plenty"] {
            assert!(!verify(hashing.turn().await.unwrap(), password, None).await.unwrap());
        }
    }

    #[tokio::test]
    async fn so_many_run_so_many_wait_and_the_next_is_told_to_come_back() {
        let hashing = Hashing::new();
        let (most, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (open, opened) = std::sync::mpsc::channel::<()>();
        let opened = Arc::new(std::sync::Mutex::new(opened));
        let mut tasks = Vec::new();
        for _ in 0..HASHES_AT_ONCE + HASHES_WAITING {
            let (hashing, most, now, opened) = (hashing.clone(), most.clone(), now.clone(), opened.clone());
            tasks.push(tokio::spawn(async move {
                let work = move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    opened.lock().unwrap().recv().unwrap();
                    now.fetch_sub(1, Ordering::SeqCst);
                };
                run(hashing.turn().await?, work).await
            }));
        }
        while hashing.places.available_permits() > 0 || now.load(Ordering::SeqCst) < HASHES_AT_ONCE {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(matches!(hashing.turn().await, Err(Error::Busy)));
        for _ in &tasks {
            open.send(()).unwrap();
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), HASHES_AT_ONCE);
        assert!(hashing.turn().await.is_ok(), "there is room again");
    }
}
