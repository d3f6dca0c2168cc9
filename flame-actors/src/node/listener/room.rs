//! The waiting room: connections that have not said yet who they are.
//!
//! There are so many places. Who comes when all are taken gets one, at the cost of the oldest connection of the
//! address that has the most: a flood from one address displaces itself, and those who hold places without a word
//! keep nobody out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who waits. Plain data: the listener does what comes of it.
#[derive(Debug)]
pub(super) struct Room<G> {
    places: usize,
    next: u64,
    /// In the order of arrival.
    guests: Vec<(u64, Source, G)>,
}

/// Whose connections count together: an IPv4 address, or a network of IPv6, of which one host may have every address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        let network = |address: Ipv6Addr| {
            let [a, b, c, d, ..] = address.segments();
            Self::V6([a, b, c, d])
        };
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => network(address),
        }
    }
}

impl<G> Room<G> {
    pub(super) fn new(places: usize) -> Self {
        Self { places, next: 0, guests: Vec::with_capacity(places + 1) }
    }

    /// Takes one in; gives its number, and who has to go for it.
    pub(super) fn enter(&mut self, address: IpAddr, guest: G) -> (u64, Option<G>) {
        let number = self.next;
        self.next += 1;
        self.guests.push((number, address.into(), guest));
        (number, if self.guests.len() > self.places { self.displace() } else { None })
    }

    /// Says that this one needs no place any more.
    pub(super) fn leave(&mut self, number: u64) {
        // By number is by arrival.
        if let Ok(place) = self.guests.binary_search_by_key(&number, |(number, ..)| *number) {
            self.guests.remove(place);
        }
    }

    /// Takes out the oldest of the address that has the most.
    pub(super) fn displace(&mut self) -> Option<G> {
        let mut crowds: HashMap<Source, usize> = HashMap::new();
        for (_, source, _) in &self.guests {
            *crowds.entry(*source).or_default() += 1;
        }
        let most = crowds.values().max()?;
        // Of several such addresses, that of the oldest.
        let place = self.guests.iter().position(|(_, source, _)| crowds[source] == *most)?;
        Some(self.guests.remove(place).2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_oldest_of_the_same_flood() {
        let mut room = Room::new(3);
        for guest in 0..3 {
            assert_eq!(room.enter(host(1), guest).1, None);
        }
        assert_eq!(room.enter(host(1), 3).1, Some(0));
        assert_eq!(room.enter(host(1), 4).1, Some(1));
    }

    #[test]
    fn a_flood_from_one_address_displaces_nobody_from_another() {
        let mut room = Room::new(8);
        room.enter(host(2), -1);
        for guest in 0..1000 {
            assert_ne!(room.enter(host(1), guest).1, Some(-1));
        }
        // Whoever comes now finds a place too, and keeps it.
        assert!(room.enter(host(3), -2).1.is_some_and(|gone| gone >= 0));
        for guest in 0..1000 {
            assert!(room.enter(host(1), guest).1.is_some_and(|gone| gone >= 0));
        }
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let mut room = Room::new(4);
        let honest: IpAddr = "2001:db8:1::1".parse().unwrap();
        room.enter(honest, u16::MAX);
        for guest in 0..100 {
            let address = IpAddr::from([0x2001, 0xdb8, 2, 0, 0, 0, 0, guest]);
            assert_ne!(room.enter(address, guest).1, Some(u16::MAX));
        }
    }

    #[test]
    fn an_ipv4_address_is_the_same_when_it_comes_over_ipv6() {
        assert_eq!(Source::from(host(1)), Source::from("::ffff:192.0.2.1".parse::<IpAddr>().unwrap()));
        assert_ne!(Source::from(host(1)), Source::from("::ffff:192.0.2.2".parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn those_who_left_have_no_place() {
        let mut room = Room::new(2);
        let (first, _) = room.enter(host(1), 1);
        room.enter(host(1), 2);
        room.leave(first);
        room.leave(first);
        assert_eq!(room.enter(host(1), 3).1, None);
        assert_eq!(room.enter(host(1), 4).1, Some(2));
        assert_eq!(room.displace(), Some(3));
    }
}
