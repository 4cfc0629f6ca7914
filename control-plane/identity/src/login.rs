//! Showing who one is, by password and second factor: with a bound on how often one may be wrong, and the same answer
//! in the same time whether there is such a user or not.

use std::{net::IpAddr, sync::PoisonError};

use dropmate_sql::writing;

use crate::{
    Error, Grant, Identity, Result, password,
    sessions::ending,
    throttle::Try,
    users::{Account, User, check_password, checked_name},
};

/// What somebody shows to be a user.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// Who they say they are.
    pub email: &'a str,
    /// Their password.
    pub password: &'a str,
    /// The code of their second factor, if they gave one.
    pub totp: Option<&'a str>,
    /// Where they come from.
    pub address: IpAddr,
}

impl Identity {
    /// Begins a session. [`Error::Credentials`] for whatever is wrong; [`Error::SecondFactor`] where all but the code is
    /// right, and there is none; [`Error::Throttled`] or [`Error::Busy`] if it was not looked at.
    pub async fn login(&self, proof: Proof<'_>, client: &str) -> Result<Grant> {
        let account = self.prove(proof).await?;
        self.open(&account, client).await?.ok_or(Error::Credentials)
    }

    /// Makes the user that an invitation is for, with that password, or has an existing one show that it is theirs.
    pub async fn join(&self, proof: Proof<'_>, name: &str) -> Result<User> {
        if self.account(proof.email).await?.is_some() {
            return Ok(self.prove(proof).await?.user);
        }
        let name = checked_name(name)?;
        check_password("password", proof.password, proof.email, &name)?;
        let hash = self.hashed(proof.password).await?;
        match self.create(proof.email, &name, &hash).await? {
            Some(account) => Ok(account.user),
            // Made by somebody else meanwhile.
            None => Ok(self.prove(proof).await?.user),
        }
    }

    /// Begins a session for a user who has just shown who they are by [`join`](Self::join).
    pub async fn open_for(&self, user: &User, client: &str) -> Result<Grant> {
        let account = self.account_by_uid(&user.uid).await?.ok_or(Error::Credentials)?;
        self.open(&account, client).await?.ok_or(Error::Credentials)
    }

    /// Changes a user's password, for who knows the one before. Every session but `sid` ends.
    pub async fn change_password(&self, uid: &str, current: &str, new: &str, address: IpAddr, sid: &str) -> Result<()> {
        let user = self.user_by_uid(uid).await?.ok_or(Error::Credentials)?;
        let (tried, account) = self.prove_password(&user.email, current, address).await?;
        self.right(tried);
        check_password("newPassword", new, &user.email, &user.name)?;
        let (hash, now) = (self.hashed(new).await?, self.now());
        let changed: Result<bool, sqlx::Error> = writing!(self.db(), connection => {
            let change = "UPDATE users SET password = $3
                WHERE uid = $1 AND password = $2 AND disabled_at IS NULL RETURNING uid";
            let changed: Option<String> = sqlx::query_scalar(change)
                .bind(uid).bind(account.password.as_deref()).bind(&hash).fetch_optional(&mut *connection).await?;
            if changed.is_some() {
                ending!(connection, uid, sid, now, "password changed");
            }
            Ok(changed.is_some())
        });
        if !changed? {
            return Err(Error::Credentials);
        }
        self.heard_of_changes().await;
        Ok(())
    }

    /// Has a user who is logged in show the password once more.
    pub async fn confirm_password(&self, user: &User, password: &str, address: IpAddr) -> Result<()> {
        let (tried, _) = self.prove_password(&user.email, password, address).await?;
        self.right(tried);
        Ok(())
    }

    /// Counts a registration against its address: each costs a hash, and none is ever wrong.
    pub(crate) fn count_registration(&self, address: IpAddr) -> Result<()> {
        let mut throttle = self.people().throttle.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = throttle.begin(&format!("registration from {address}"), address, self.now());
        counted.map(|_| ()).map_err(Error::Throttled)
    }

    /// Counts a mail that somebody who shows nothing has sent to somebody.
    pub(crate) fn count_mail(&self, address: IpAddr) -> Result<()> {
        let mut throttle = self.people().throttle.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = throttle.begin(&format!("mail from {address}"), address, self.now());
        counted.map(|_| ()).map_err(Error::Throttled)
    }

    /// A password's hash, when there is room for it.
    pub(crate) async fn hashed(&self, password: &str) -> Result<String> {
        password::hash(self.people().hashing.turn().await?, password).await
    }

    /// The account that the proof is good for.
    async fn prove(&self, proof: Proof<'_>) -> Result<Account> {
        let (tried, account) = self.prove_password(proof.email, proof.password, proof.address).await?;
        self.prove_second_factor(&account, proof.totp).await?;
        self.right(tried);
        Ok(account)
    }

    /// The account with that password, and the try, which counts as wrong until it is told to have been right.
    pub(crate) async fn prove_password(&self, email: &str, password: &str, address: IpAddr) -> Result<(Try, Account)> {
        let people = self.people();
        let email = email.trim().to_ascii_lowercase();
        let begun = people.throttle.lock().unwrap_or_else(PoisonError::into_inner).begin(&email, address, self.now());
        let tried = begun.map_err(Error::Throttled)?;
        let proved = async {
            // Before the database is asked: a flood must not take its connections either.
            let turn = people.hashing.turn().await?;
            let account = self.account(&email).await?;
            let hash = account.as_ref().and_then(|account| account.password.as_deref());
            let right = password::verify(turn, password, hash).await?;
            // Only now, so that it takes as long.
            Ok(account.filter(|account| right && !account.user.disabled))
        };
        match proved.await {
            Ok(Some(account)) => Ok((tried, account)),
            Ok(None) => Err(Error::Credentials),
            Err(error) => {
                people.throttle.lock().unwrap_or_else(PoisonError::into_inner).none(tried);
                Err(error)
            }
        }
    }

    pub(crate) fn right(&self, tried: Try) {
        let now = self.now();
        self.people().throttle.lock().unwrap_or_else(PoisonError::into_inner).right(tried, now);
    }
}
