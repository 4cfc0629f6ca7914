//! Simulated days: the real control plane in memory, the real dispatch agent, drivers as phones, all under paused time.

#[cfg(test)]
mod it {
    mod day;
    mod days;
    mod faults;
    mod leader;
    mod witness;
}
