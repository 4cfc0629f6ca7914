//! What stands in the columns of the log, the same in every SQL database.

use std::sync::Arc;

use sqlx::{ColumnIndex, Decode, Row, Type};

use crate::{
    Access, Actor, Archived, Entry, Event, Header, Key, Object, Revision,
    archive::{timestamp, unpack},
};

/// A row, read from one of its columns on.
pub(crate) struct Columns<'r, R> {
    row: &'r R,
    first: usize,
}

/// How many columns an entry has.
pub(crate) const ENTRY: usize = 14;
/// Which of an entry's columns is its revision.
pub(crate) const REVISION: usize = 4;

impl<'r, R> Columns<'r, R>
where
    R: Row,
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    bool: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    &'r str: Decode<'r, R::Database> + Type<R::Database>,
    &'r [u8]: Decode<'r, R::Database> + Type<R::Database>,
{
    /// From the first column on.
    pub(crate) fn of(row: &'r R) -> Self {
        Self::from(row, 0)
    }

    /// From that column on.
    pub(crate) fn from(row: &'r R, first: usize) -> Self {
        Self { row, first }
    }

    /// `resource, namespace, name, uid, revision, body`.
    pub(crate) fn object(&self) -> Result<Object, sqlx::Error> {
        Ok(Object::new(self.key()?, self.get(3)?, self.revision(REVISION)?, self.get::<&str>(5)?.into()))
    }

    /// An object, then `deleted, actor, client, request_id, at`, then `revision, uid, body` of the one before.
    pub(crate) fn entry(&self) -> Result<Entry, sqlx::Error> {
        let object = Arc::new(self.object()?);
        let previous = match self.get::<Option<i64>>(11)? {
            Some(revision) => Some(Arc::new(Object::new(
                object.key.clone(),
                self.get(12)?,
                revision as Revision,
                self.get::<&str>(13)?.into(),
            ))),
            None => None,
        };
        let event = Event { revision: object.revision, object, previous, deleted: self.get(6)? };
        let actor = Actor { user: self.get(7)?, client: self.get(8)?, request_id: self.get(9)? };
        Ok(Entry { event, actor, at: timestamp(self.get(10)?)? })
    }

    /// `revision, resource, previous, deleted, at, total`.
    pub(crate) fn header(&self) -> Result<Header, sqlx::Error> {
        Ok(Header {
            revision: self.revision(0)?,
            resource: self.get(1)?,
            previous: self.revision(2)?,
            deleted: self.get(3)?,
            at: timestamp(self.get(4)?)?,
            total: self.revision(5)?,
        })
    }

    /// `resource, namespace, name, uid, revision, body` as gzip, `at`.
    pub(crate) fn archived(&self) -> Result<Archived, sqlx::Error> {
        let body = unpack(self.get(5)?)?.into();
        let object = Object::new(self.key()?, self.get(3)?, self.revision(REVISION)?, body);
        Ok(Archived { object: Arc::new(object), at: timestamp(self.get(6)?)? })
    }

    /// `id, at, actor, address, client, request_id, verb, resource, namespace, name, outcome, code, count`.
    pub(crate) fn access(&self) -> Result<(u64, Access), sqlx::Error> {
        let access = Access {
            at: timestamp(self.get(1)?)?,
            actor: self.get(2)?,
            address: self.get(3)?,
            client: self.get(4)?,
            request_id: self.get(5)?,
            verb: self.get(6)?,
            resource: self.get(7)?,
            namespace: self.get(8)?,
            name: self.get(9)?,
            outcome: self.get(10)?,
            code: self.get::<i64>(11)? as u16,
            count: self.revision(12)?,
        };
        Ok((self.revision(0)?, access))
    }

    fn key(&self) -> Result<Key, sqlx::Error> {
        Ok(Key { resource: self.get(0)?, namespace: self.get(1)?, name: self.get(2)? })
    }

    fn revision(&self, column: usize) -> Result<Revision, sqlx::Error> {
        Ok(self.get::<i64>(column)? as Revision)
    }

    fn get<T: Decode<'r, R::Database> + Type<R::Database>>(&self, column: usize) -> Result<T, sqlx::Error> {
        self.row.try_get(self.first + column)
    }
}
