//! `dropmate-notification`: the notification agent as a program of its own, over HTTPS.

fn main() {}
