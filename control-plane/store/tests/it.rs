//! The store as its users see it.

#[cfg(test)]
mod it {
    mod contract;
    mod database;
    mod faults;
    mod faulty;
    mod fixture;
    mod killed;
    mod postgres;
    mod server;
    mod sqlite;
}
