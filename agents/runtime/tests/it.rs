//! The agents' runtime against the real API in process, under paused time.

#[cfg(test)]
mod it {
    mod cache;
    mod gate;
    mod lease;
}
