//! One connection that is kept, for statements that must not wait behind others. Unlike a pool's it is asked for no sign
//! of life between two statements, and one that hangs is left behind at once.

use std::{
    sync::{Arc, Mutex as Lock},
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout, timeout_at},
};

use super::{ACQUIRE_TIMEOUT, QUERY_TIMEOUT, locked, stays, timed_out};

/// Both texts of the same session are equal.
const OWN_SESSION: &str = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// Ends a session, waiting for half a second. True if it is gone.
const END_SESSION: &str = "
    SELECT coalesce(bool_and(pg_terminate_backend(pid, 500)), true)
    FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2";

/// A connection that is made when it is needed first, and made anew after it has failed. Clones share it.
#[derive(Clone, Debug)]
pub struct Single {
    options: PgConnectOptions,
    /// Absent before the first statement, while one is under way, and after one that failed.
    connection: Arc<Mutex<Option<PgConnection>>>,
    /// The session of the newest connection.
    session: Arc<Lock<Option<Session>>>,
    /// A session that may still carry out what was last asked of it.
    lost: Arc<Lock<Option<Session>>>,
}

/// A session on the server: its process, and since when, as processes' numbers come back.
#[derive(Clone, Debug)]
struct Session {
    pid: i32,
    since: String,
}

impl Single {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self { options, connection: Arc::default(), session: Arc::default(), lost: Arc::default() }
    }

    /// Runs `op`, at most for `limit` with the waiting for the connection. A connection whose statement failed in another
    /// way than by the server's word, or did not come back, is thrown away: nobody may meet the rest of its answer.
    pub async fn within<T>(
        &self,
        limit: Duration,
        op: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let give_up_at = Instant::now() + limit;
        let acquire = async {
            let mut place = self.connection.lock().await;
            let connection = match place.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            Ok((place, connection))
        };
        let acquired = timeout(ACQUIRE_TIMEOUT, acquire).await.unwrap_or_else(|_| Err(timed_out()));
        let (mut place, mut connection) = acquired?;
        // If this is dropped meanwhile, the connection is as well.
        let outcome = timeout_at(give_up_at, op(&mut connection)).await.unwrap_or_else(|_| Err(timed_out()));
        if outcome.as_ref().map_or_else(stays, |_| true) {
            *place = Some(connection);
        }
        outcome
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        let (pid, since) = sqlx::query_as(OWN_SESSION).fetch_one(&mut connection).await?;
        *locked(&self.session) = Some(Session { pid, since });
        Ok(connection)
    }

    /// Notes that the last statement was lost: it may have been carried out, or still be.
    pub fn lose(&self) {
        if let Some(session) = locked(&self.session).take() {
            *locked(&self.lost) = Some(session);
        }
    }

    /// Ends the session in which a statement was lost, so that it cannot be carried out any more. An error says that it
    /// still may be.
    pub async fn end_lost(&self) -> Result<(), sqlx::Error> {
        let Some(Session { pid, since }) = locked(&self.lost).clone() else { return Ok(()) };
        let gone: bool = self
            .within(QUERY_TIMEOUT, async |connection| {
                sqlx::query_scalar(END_SESSION).bind(pid).bind(since).fetch_one(connection).await
            })
            .await?;
        if !gone {
            return Err(sqlx::Error::Protocol("a lost session has not ended yet".to_owned()));
        }
        *locked(&self.lost) = None;
        Ok(())
    }

    /// Closes it. Another statement would open it again.
    pub(super) async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            let _ = connection.close().await;
        }
    }
}
