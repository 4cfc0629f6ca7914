//! The store as its users see it.

mod it {
    mod contract;
    mod fixture;
    mod sqlite;
}
