//! Addresses of balancers, which all accounts share.

use std::net::IpAddr;

use longshore_domain::record::BalancerAddress;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalancerAddressKey {
    /// The address.
    pub address: IpAddr,
}

impl RecordKey for BalancerAddressKey {
    fn encode(&self) -> Key {
        KeyPath::shared(Kind::BalancerAddress).part(self.address).key()
    }
}

impl Record for BalancerAddress {
    const KIND: Kind = Kind::BalancerAddress;
    const VERSION: u32 = 1;
    type Key = BalancerAddressKey;
    type Index = NoIndex;

    fn key(&self) -> BalancerAddressKey {
        BalancerAddressKey { address: self.address }
    }
}
