//! Services that scale to zero: carries out what `domain::idle` plans. What wakes them is not here:
//! the server that hears of a request does it at once (`balancers::demand`).

use longshore_domain::idle::{self, Situation};
use longshore_domain::record::Service;
use longshore_domain::route::Protocol;
use longshore_domain::time::Timestamp;
use longshore_store::tables::ServiceIndex;
use longshore_store::{Kind, RecordTxn, View};

use super::driver::{Controller, Pass};
use crate::clock::RandomIds;
use crate::elbv2::group_by_arn;

/// Puts services to sleep.
pub(super) struct Idle;

impl Controller for Idle {
    const NAME: &'static str = "idle";
    const READS: &'static [Kind] = &[Kind::Service, Kind::TargetGroup, Kind::BalancerNode];

    fn pass(&self, view: &View, now: Timestamp) -> Pass {
        let mut pass = Pass::default();
        for row in view.services.by(&ServiceIndex::ScalesToZero) {
            let situation = Situation {
                service: row,
                takes_datagrams: takes_datagrams(view, row),
                is_watched: !view.balancer_nodes.is_empty(),
                now,
            };
            let plan = idle::plan(&situation, &mut RandomIds);
            pass.look_again_if(plan.next);
            if let Some(next) = &plan.service {
                let mut txn = RecordTxn::new();
                txn.update(row, next);
                plan.event.iter().for_each(|event| _ = txn.insert(event));
                pass.push(txn);
            }
        }
        pass
    }
}

fn takes_datagrams(view: &View, service: &Service) -> bool {
    let mut groups = idle::target_groups(service).filter_map(|arn| group_by_arn(view, arn));
    groups.any(|group| matches!(group.protocol, Protocol::Udp | Protocol::TcpUdp))
}
