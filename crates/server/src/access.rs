//! What every operation does, in the terms of policies: actions, resources and condition keys. The
//! one table of it, as AWS's Service Authorization Reference has it, and `docs/permissions.md`.
//!
//! The rule it keeps: an operation has no handler without a row here, since only
//! [`Call::authorize`](crate::call::Call::authorize) makes the witness that handlers take, and it
//! asks for the row. Rows read the request and a snapshot of the view, and are read only for principals
//! whose policies must be asked. A resource that does not exist is asked for by the ARN that it would
//! have, so that who is refused does not learn what exists.

mod acm;
pub(crate) mod agents;
mod asking;
mod document;
mod ecs;
mod ecs_arns;
mod elbv2;
mod iam;
pub(crate) mod message;
pub(crate) mod operator;
mod origin;
mod sts;
#[cfg(test)]
mod tests;

pub(crate) use asking::{Asking, TooMuch};
pub use document::document;
pub(crate) use origin::Origin;

use longshore_wire::Operation;

/// What sort of thing an action is, in AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    List,
    Permissions,
    Read,
    Tagging,
    Write,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::List => "List",
            Self::Permissions => "Permissions management",
            Self::Read => "Read",
            Self::Tagging => "Tagging",
            Self::Write => "Write",
        }
    }
}

/// A row of the table, for people.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The action, e.g. `ecs:RunTask`.
    pub(crate) action: &'static str,
    /// What sort of thing it is.
    pub(crate) level: Level,
    /// Types of the resources that it is about; none where it is about `*`.
    pub(crate) resources: &'static [&'static str],
    /// Condition keys, beyond those that every request has.
    pub(crate) keys: &'static [&'static str],
    /// Other actions that it takes, if the request has what they are about.
    pub(crate) also: &'static [&'static str],
}

impl Entry {
    /// Whether it changes nothing.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.level, Level::List | Level::Read)
    }
}

/// An operation that policies can be asked about.
pub(crate) trait Access: Operation {
    /// Its row.
    const ENTRY: &'static Entry;

    /// What a request does.
    fn asks(input: &Self::Input, asking: &mut Asking<'_>);
}

/// Rows of a service: `Operation Level [resource types] [condition keys] [other actions] = what it asks`.
macro_rules! access {
    ($prefix:literal, $module:ident {
        $($op:ident $level:ident [$($resource:literal)*] [$($key:literal)*] [$($also:literal)*] = $asks:expr;)*
    }) => {
        $(
            impl $crate::access::Access for longshore_wire::$module::op::$op {
                const ENTRY: &'static $crate::access::Entry = &$crate::access::Entry {
                    action: concat!($prefix, ":", stringify!($op)),
                    level: $crate::access::Level::$level,
                    resources: &[$($resource),*],
                    keys: &[$($key),*],
                    also: &[$($also),*],
                };

                fn asks(input: &Self::Input, asking: &mut $crate::access::Asking<'_>) {
                    let asks: fn(&Self::Input, &mut $crate::access::Asking<'_>) = $asks;
                    asks(input, asking);
                }
            }
        )*

        /// All rows, in the order of the file.
        pub(super) const ENTRIES: &[&$crate::access::Entry] = &[
            $(<longshore_wire::$module::op::$op as $crate::access::Access>::ENTRY),*
        ];
    };
}
use access;
