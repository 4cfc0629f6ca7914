//! Simulated days: the real control plane, the real dispatch agent, drivers as phones. Many in memory under paused time,
//! and some in real time on PostgreSQL.

#[cfg(test)]
mod it {
    mod day;
    mod days;
    mod faults;
    mod leader;
    mod owners;
    mod real_time;
    mod replicas;
    mod witness;
}
