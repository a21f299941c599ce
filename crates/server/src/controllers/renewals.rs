//! Certificates of the local authority that listeners show are renewed before they expire: another
//! certificate and key under the same ARN, which balancers show at once.

use longshore_domain::time::Timestamp;
use longshore_store::{Kind, RecordTxn, View};

use super::driver::{Controller, Pass};
use crate::acm;

/// Renews certificates. A key comes from chance, so two passes make two; one of them is committed.
pub(super) struct Renewals;

impl Controller for Renewals {
    const NAME: &'static str = "renewals";
    const READS: &'static [Kind] = &[Kind::Certificate, Kind::Listener];

    fn pass(&self, view: &View, now: Timestamp) -> Pass {
        let mut pass = Pass::default();
        for row in view.certificates.iter() {
            let Some(due) = acm::renewed_at(view, row) else { continue };
            if due > now {
                pass.look_again(due);
                continue;
            }
            let mut txn = RecordTxn::new();
            // One that cannot be issued is tried again in a minute, and said in the log.
            if acm::renew(view, &mut txn, row, now).is_ok() {
                pass.push(txn);
            }
        }
        pass
    }
}
