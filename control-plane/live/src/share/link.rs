//! The one connection for commands.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use uuid::Uuid;

use crate::metrics::Metrics;

/// How long a connection may take, and a command that nobody waits for.
const STEADY: Duration = Duration::from_millis(500);
/// How long a request may wait for Redis: on one machine or one network it answers within one.
const QUICK: Duration = Duration::from_millis(50);
/// For how long no request waits for Redis after one did so in vain.
const BREAK: Duration = Duration::from_secs(1);

/// The connection, if there is one now. Only the keeper makes one; everybody may find out that it is broken.
pub(super) struct Link {
    client: Client,
    prefix: String,
    /// Tells this process's words from the others'.
    id: Uuid,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Requests do not ask before then.
    closed_until: Mutex<Option<Instant>>,
    /// Somebody found it broken.
    pub(super) broken: Notify,
    metrics: Metrics,
}

impl Link {
    pub(super) fn new(client: Client, metrics: Metrics) -> Self {
        // What is published goes to all databases of a server: so the channel names ours, as the keys do.
        let prefix = format!("dropmate:{}:", client.get_connection_info().redis_settings().db());
        let (connection, closed_until) = (Mutex::default(), Mutex::default());
        Self { client, prefix, id: Uuid::new_v4(), connection, closed_until, broken: Notify::new(), metrics }
    }

    /// The full name of a key or channel.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn is_connected(&self) -> bool {
        self.held().is_some()
    }

    /// Makes a connection.
    pub(super) async fn connect(&self) -> Result<(), RedisError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(STEADY)).set_response_timeout(Some(STEADY));
        // The timeout of the library does not cover looking up the name.
        let made = timeout(STEADY * 2, self.client.get_multiplexed_async_connection_with_config(&config));
        let connection = made.await.map_err(|_| timed_out())??;
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.metrics.connected.set(1);
        Ok(())
    }

    /// Lets go of the connection.
    pub(super) fn disconnect(&self) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.metrics.connected.set(0);
    }

    /// Sends commands that nobody waits for.
    pub(super) async fn steady<T: FromRedisValue>(
        &self,
        what: &'static str,
        pipeline: &Pipeline,
    ) -> Result<T, RedisError> {
        let mut connection = self.held().ok_or_else(away)?;
        let asked = timeout(STEADY, pipeline.query_async(&mut connection)).await;
        let answer = asked.unwrap_or_else(|_| Err(timed_out()));
        if let Err(error) = &answer {
            self.failed(what, error);
        }
        answer
    }

    /// Asks what a request waits for. `None`: there is no answer in time, and the request goes on without.
    pub(super) async fn quick<T: FromRedisValue>(&self, what: &'static str, command: &Cmd) -> Option<T> {
        if self.closed_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at > Instant::now()) {
            return None;
        }
        let mut connection = self.held()?;
        let asked = timeout(QUICK, command.query_async(&mut connection)).await;
        match asked.unwrap_or_else(|_| Err(timed_out())) {
            Ok(answer) => Some(answer),
            Err(error) => {
                *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + BREAK);
                self.failed(what, &error);
                None
            }
        }
    }

    fn failed(&self, what: &'static str, error: &RedisError) {
        self.metrics.failed(what);
        tracing::debug!(%error, what, "a request to Redis failed");
        if error.is_io_error() || error.is_connection_dropped() || error.is_timeout() {
            self.broken.notify_one();
        }
    }

    fn held(&self) -> Option<MultiplexedConnection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

fn away() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::NotConnected).into()
}
