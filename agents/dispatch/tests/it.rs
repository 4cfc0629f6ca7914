//! The dispatch agent against the real API: in process under paused time, and as a program over HTTPS.

#[cfg(test)]
mod it {
    mod binding;
    mod city;
    mod conditions;
    mod faults;
    mod leading;
    mod over_https;
    mod over_replicas;
    mod program;
}
