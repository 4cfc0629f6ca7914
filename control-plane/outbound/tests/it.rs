//! Integration tests of guarded calls, against real sockets.

#[cfg(test)]
mod it {
    mod guarded;
}
