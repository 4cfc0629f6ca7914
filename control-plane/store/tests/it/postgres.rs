//! What only a database server can do to us. Whatever it is: every call has its answer within 5 s, what is in memory is
//! still read and watched, it heals by itself, and nothing is lost, doubled or written after it was refused.

mod connections;
mod migrations;
mod outages;
mod sessions;
mod users;
