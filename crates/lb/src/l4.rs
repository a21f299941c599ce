//! Layer 4: connections and datagrams, as they come.

mod proxy_protocol;
pub(crate) mod tcp;
pub(crate) mod udp;

use std::net::SocketAddr;
use std::sync::Arc;

use longshore_domain::route::Action;

use crate::clock;
use crate::group::Group;
use crate::select;
use crate::table::Listening;
use crate::target::Target;

/// The group that a listener of layer 4 forwards to.
fn group(listening: &Listening) -> Option<Arc<Group>> {
    let rule = listening.rules.iter().last()?;
    let Action::Forward(forward) = rule.actions.last()? else { return None };
    let at = select::weighted(forward.groups.len(), |i| forward.groups[i].weight, clock::random());
    listening.groups.get(&forward.groups.get(at?)?.group).map(Arc::clone)
}

/// The target of a client; another one while that refuses connections.
fn target(group: &Group, client: SocketAddr, tried: Option<&Arc<Target>>) -> Option<Arc<Target>> {
    let chosen = group.by_client(client.ip(), client.port())?;
    let passed =
        chosen.is_ejected(clock::now()) || tried.is_some_and(|tried| Arc::ptr_eq(tried, &chosen));
    if passed { group.next(Some(&chosen)) } else { Some(chosen) }
}
