//! What templates can do, and what they cannot.
