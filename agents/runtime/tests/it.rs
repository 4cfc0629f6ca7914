//! The agents' runtime: against the real API in process, under paused time, and at real sockets.

#[cfg(test)]
mod it {
    mod admin;
    mod cache;
    mod gate;
    mod lease;
}
