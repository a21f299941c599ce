//! Host ports for container port ranges: they must follow each other, which the runtime cannot
//! choose by itself.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

use crate::{limits, random};

/// Where ranges are looked for when the system does not say: above the ports of services.
const DYNAMIC: (u16, u16) = (49_153, 65_535);

/// Port ranges handed out by this agent. One that was handed out is not offered again soon, so that
/// two containers that start at once don't meet; one that is in use is seen by trying to bind it.
#[derive(Debug, Default)]
pub(crate) struct PortRanges {
    taken: Mutex<BTreeSet<(u16, bool)>>,
}

impl PortRanges {
    /// The first host port for each range `(first, last, is TCP)`.
    ///
    /// # Errors
    /// With a text when no free ports follow each other.
    pub(crate) fn claim(
        &self,
        address: Option<IpAddr>,
        ranges: &[(u16, u16, bool)],
    ) -> Result<Vec<u16>, String> {
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        ranges.iter().map(|(first, last, tcp)| self.one(address, last - first, *tcp)).collect()
    }

    fn one(&self, address: IpAddr, extent: u16, tcp: bool) -> Result<u16, String> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() > limits::PORTS_REMEMBERED {
            taken.clear();
        }
        let room = u32::from(DYNAMIC.1 - DYNAMIC.0).saturating_sub(u32::from(extent));
        for _ in 0..limits::PORT_RANGE_TRIES {
            let offset = u32::try_from(random::bits() & 0xffff_ffff).unwrap_or(0) % room.max(1);
            let base = DYNAMIC.0.saturating_add(u16::try_from(offset).unwrap_or(0));
            let ports = base..=base.saturating_add(extent);
            if ports.clone().all(|port| !taken.contains(&(port, tcp)) && free(address, port, tcp)) {
                taken.extend(ports.map(|port| (port, tcp)));
                return Ok(base);
            }
        }
        let count = u32::from(extent) + 1;
        Err(format!("no {count} free host ports follow each other on {address}"))
    }
}

fn free(address: IpAddr, port: u16, tcp: bool) -> bool {
    if tcp {
        TcpListener::bind((address, port)).is_ok()
    } else {
        UdpSocket::bind((address, port)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_meet() {
        let ranges = PortRanges::default();
        let address = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let bases = ranges.claim(address, &[(1, 10, true), (1, 10, true)]).expect("two ranges");
        assert!(bases[0].abs_diff(bases[1]) >= 10, "{bases:?}");
        assert!(ranges.claim(address, &[(0, u16::MAX, true)]).is_err());
    }
}
