//! The dispatch agent against the real API in process, under paused time.

#[cfg(test)]
mod it {
    mod binding;
    mod city;
    mod conditions;
    mod faults;
    mod leading;
}
