//! Tickets: what a browser, which can put no token into the head of a WebSocket's request, shows instead. Each is good
//! once, for half a minute, and stands for the token of whoever asked for it.

use dropmate_sql::writing;

use crate::{
    Identity, Result,
    secret::{digest, new_secret},
    sessions::TOKEN_MAX,
};

/// For how long a ticket is good, in seconds: as long as opening a stream takes on a bad line.
pub const TICKET_SECONDS: u32 = 30;

impl Identity {
    /// A ticket for whoever holds the token, good only from that `Origin` (empty: without one).
    pub async fn issue_ticket(&self, token: &str, origin: &str) -> Result<String> {
        let (ticket, now) = (new_secret()?, self.now());
        let hash = digest(&ticket);
        let sealed = self.sealer().seal(&context(&hash), token.as_bytes())?;
        let expires_at = now + i64::from(TICKET_SECONDS) * 1_000_000;
        let kept: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            sqlx::query("INSERT INTO tickets (hash, sealed, origin, expires_at) VALUES ($1, $2, $3, $4)")
                .bind(&hash).bind(&sealed[..]).bind(origin).bind(expires_at).execute(&mut *connection).await?;
            Ok(())
        });
        kept?;
        Ok(ticket)
    }

    /// The token that a ticket stands for. Of all who try one does, and a try from elsewhere uses it up as well: then
    /// somebody else has it.
    pub async fn redeem_ticket(&self, ticket: &str, origin: &str) -> Result<Option<String>> {
        if ticket.len() > TOKEN_MAX {
            return Ok(None);
        }
        let (hash, now) = (digest(ticket), self.now());
        let used: Result<Option<(Vec<u8>, String, i64)>, sqlx::Error> = writing!(self.db(), connection =>
            sqlx::query_as("DELETE FROM tickets WHERE hash = $1 RETURNING sealed, origin, expires_at")
                .bind(&hash).fetch_optional(&mut *connection).await);
        let Some((sealed, from, expires_at)) = used? else { return Ok(None) };
        if from != origin || expires_at <= now {
            return Ok(None);
        }
        let token = self.sealer().open(&context(&hash), &sealed)?;
        Ok(String::from_utf8(token).ok())
    }
}

/// A token is sealed for its ticket: nobody can move it to another.
fn context(hash: &[u8]) -> String {
    format!("tickets/{}", hex::encode(hash))
}
