//! What only a file can do to us.
