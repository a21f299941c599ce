//! The agent against a small control plane that speaks the real protocol over real sockets: with
//! simulated containers for every case, and with Docker where a daemon answers.

mod control_plane;
mod docker;
mod hollow;
mod metadata;
mod protocol;
mod restart;
mod support;
mod tasks;
