//! Whether the API can be reached: told by those who ask it regularly, asked by probes.

use std::{
    error::Error,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::CallError;

/// How long an answer counts: long enough for a server that is started again.
pub const RECENT: Duration = Duration::from_secs(30);

/// What is known about reaching the API. Clones know the same.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    answered_at: Option<Instant>,
    failure: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    /// Whether waiting will not help.
    refused: bool,
    why: String,
}

impl Reach {
    /// The API has answered.
    pub fn answered(&self) {
        let mut state = self.state();
        state.answered_at = Some(Instant::now());
        if state.failure.take().is_some() {
            tracing::info!("the API answers again");
        }
    }

    /// The API has not answered, or not as it should. Logged, each cause louder the first time.
    pub fn failed(&self, error: &CallError) {
        let failure = Failure::new(error);
        let mut state = self.state();
        if state.failure.as_ref() == Some(&failure) {
            tracing::warn!(error = failure.why, "the API still cannot be used; trying again");
        } else {
            tracing::error!(error = failure.why, "the API cannot be used; trying again until it can");
        }
        state.failure = Some(failure);
    }

    /// Whether the API has answered lately, and what else is to be said.
    pub fn check(&self) -> Result<String, String> {
        let state = self.state();
        let recent = state.answered_at.is_some_and(|at| at.elapsed() <= RECENT);
        match &state.failure {
            Some(failure) if failure.refused || !recent => Err(failure.why.clone()),
            _ if recent => Ok("answers".to_owned()),
            _ => Err("no answer yet".to_owned()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    fn new(error: &CallError) -> Self {
        let why = chain(error);
        if let CallError::Terminal(kube::Error::Api(status)) = error
            && status.code == 401
        {
            let why = format!("{why} (the token in --token-file is not, or no longer, a token of this server)");
            return Self { refused: true, why };
        }
        if is_about_a_certificate(error) {
            let why = format!(
                "{why} (--ca-file must hold the authority of this server, and the host in --server must be one of the names in its certificate)"
            );
            return Self { refused: true, why };
        }
        Self { refused: matches!(error, CallError::Terminal(_)), why }
    }
}

/// An error with its causes, the cause that says most last.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors repeat their cause in their own text.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Whether TLS failed over the server's certificate.
fn is_about_a_certificate(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        // An `io::Error` passes over what it holds when it is asked for its source.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = held.map(|held| -> &(dyn Error + 'static) { held }).or_else(|| error.source());
    }
    false
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> CallError {
        let status = Status { code, ..Status::failure("no", "No") };
        kube::Error::Api(status.boxed()).into()
    }

    #[tokio::test(start_paused = true)]
    async fn one_missed_answer_is_forgiven_and_a_long_silence_is_not() {
        let reach = Reach::default();
        assert!(reach.check().is_err(), "nothing is known yet");
        reach.answered();
        reach.failed(&CallError::Timeout);
        assert!(reach.check().is_ok());
        tokio::time::advance(RECENT * 2).await;
        assert_eq!(reach.check().unwrap_err(), CallError::Timeout.to_string());
        reach.answered();
        assert!(reach.check().is_ok());
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_told_however_deep_it_is_wrapped() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::other(tls));
        let error = CallError::Transient(kube::Error::Service(Box::new(wrapped)));
        let failure = Failure::new(&error);
        assert!(failure.refused && failure.why.contains("--ca-file"), "{failure:?}");
        let lost = CallError::Transient(kube::Error::Service(Box::new(io::Error::other("lost"))));
        assert!(!Failure::new(&lost).refused);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_told_at_once() {
        let reach = Reach::default();
        reach.answered();
        reach.failed(&refused(503));
        assert!(reach.check().is_ok());
        reach.failed(&refused(401));
        assert!(reach.check().unwrap_err().contains("--token-file"));
    }
}
