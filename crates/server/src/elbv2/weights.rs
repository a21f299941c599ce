//! Rules whose weights deployments change: what they forward to, and what they are to.

use longshore_domain::deploy::Reweigh;
use longshore_domain::ids::{ElbArn, ElbResource, Scope};
use longshore_domain::record::{Listener, ListenerRule};
use longshore_domain::route::{Action, Weighted};
use longshore_store::tables::{ListenerKey, ListenerRuleKey};
use longshore_store::{RecordTxn, Row, View};

/// Where the actions are that an ARN leads to.
enum Place<'v> {
    Listener(&'v Row<Listener>),
    Rule(&'v Row<ListenerRule>),
}

/// The ARN is that of a rule, also the default one, or of a listener of a network balancer.
fn place<'v>(view: &'v View, scope: &Scope, arn: &str) -> Option<Place<'v>> {
    let ElbArn { scope: of, resource } = arn.parse().ok()?;
    if of != *scope {
        return None;
    }
    let listener = |balancer, id| {
        let key = ListenerKey { scope: scope.clone(), balancer, id };
        view.listeners.get(&key).map(|row| Place::Listener(row))
    };
    match resource {
        ElbResource::Listener(_, _, balancer, id) => listener(balancer, id),
        ElbResource::Rule(_, _, balancer, of, id) if of == id => listener(balancer, of),
        ElbResource::Rule(_, _, _, listener, id) => {
            let key = ListenerRuleKey { scope: scope.clone(), listener, id };
            view.listener_rules.get(&key).map(|row| Place::Rule(row))
        }
        _ => None,
    }
}

impl Place<'_> {
    fn actions(&self) -> &[Action] {
        match self {
            Self::Listener(row) => &row.default_actions,
            Self::Rule(row) => &row.actions,
        }
    }
}

/// What a rule forwards to; nothing when it answers in another way, `None` when there is none.
pub(crate) fn forwards(view: &View, scope: &Scope, arn: &str) -> Option<Vec<Weighted>> {
    let place = place(view, scope, arn)?;
    let groups = place.actions().iter().find_map(|action| match action {
        Action::Forward(forward) => Some(forward.groups.clone()),
        _ => None,
    });
    Some(groups.unwrap_or_default())
}

/// Changes the weights of a rule that is as it was in the view; its other actions and its stickiness stay.
pub(crate) fn reweigh(view: &View, scope: &Scope, txn: &mut RecordTxn, change: &Reweigh) {
    let change_actions = |actions: &mut Vec<Action>| {
        for action in actions {
            if let Action::Forward(forward) = action {
                forward.groups.clone_from(&change.groups);
            }
        }
    };
    match place(view, scope, &change.rule) {
        Some(Place::Listener(row)) => {
            let mut next = row.record.clone();
            change_actions(&mut next.default_actions);
            txn.update(row, &next);
        }
        Some(Place::Rule(row)) => {
            let mut next = row.record.clone();
            change_actions(&mut next.actions);
            txn.update(row, &next);
        }
        // What the plan was made of has it.
        None => {}
    }
}
