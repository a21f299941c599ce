//! The store in etcd where etcd fails, is shared, or is not the one it was.

mod access;
mod cluster;
mod faults;
mod lost;
mod proxy;
mod several;
