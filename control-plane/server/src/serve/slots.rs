//! How many connections there may be, overall and from one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Limits;

/// Counts connections. Clones share the count.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    total: usize,
    per_address: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    /// Addresses without a connection are not in it, so that it is never larger than the number of connections.
    by_address: HashMap<IpAddr, usize>,
}

/// The right to one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    shared: Arc<Shared>,
    address: IpAddr,
}

impl Slots {
    pub(super) fn new(limits: &Limits) -> Self {
        let (total, per_address) = (limits.connections, limits.connections_per_address);
        Self { shared: Arc::new(Shared { total, per_address, held: Mutex::default() }) }
    }

    /// The right to one more connection from there, if there is one left.
    pub(super) fn take(&self, address: IpAddr) -> Option<Slot> {
        let address = address.to_canonical();
        let mut held = self.shared.held();
        let here = held.by_address.get(&address).copied().unwrap_or(0);
        if held.total >= self.shared.total || (here >= self.shared.per_address && !address.is_loopback()) {
            return None;
        }
        held.total += 1;
        held.by_address.insert(address, here + 1);
        Some(Slot { shared: self.shared.clone(), address })
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.shared.held();
        held.total -= 1;
        if let Some(here) = held.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                held.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(connections: usize, connections_per_address: usize) -> Slots {
        Slots::new(&Limits { connections, connections_per_address, ..Limits::default() })
    }

    #[test]
    fn one_address_cannot_take_every_connection() {
        let slots = slots(10, 2);
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let held = [slots.take(a).unwrap(), slots.take(a).unwrap()];
        assert!(slots.take(a).is_none());
        assert!(slots.take(b).is_some());
        drop(held);
        assert!(slots.take(a).is_some());
        assert!(slots.shared.held().by_address.is_empty(), "nobody is remembered without a connection");
    }

    #[test]
    fn a_proxy_on_this_machine_may_take_them_all_but_not_more() {
        let slots = slots(3, 1);
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let held: Vec<_> = (0..3).map(|_| slots.take(local).unwrap()).collect();
        assert!(slots.take(local).is_none());
        assert_eq!(held.len(), 3);
    }
}
