//! Who makes a request, and whether they may.
//!
//! The order in which the front uses it: [`peek`] finds access key, region and service from
//! headers and query before the body is read; an [`IdentityProvider`] turns the request into a
//! [`Principal`]; [`authorize`] turns principal and typed request into [`Authorized`], which is
//! the only thing that a handler accepts. The agent signs with [`sign`] and [`presign`]. Servers
//! know messages of each other by a [`SealKey`].
//!
//! The rule it keeps: `Authorized` has no constructor outside this crate, so no operation can
//! be called before both questions are answered. `now` is always an argument, in seconds since
//! the Unix epoch.
//!
//! What it leaves out: I/O, and where keys and policies are stored.

mod authorize;
mod canonical;
mod date;
mod error;
mod identity;
mod policy;
mod request;
mod scheme;
mod seal;
mod sign;
mod verify;

pub use authorize::{Authorized, Denied, Question, allowed, authorize};
pub use error::{AuthError, ErrorResponse, Protocol};
pub use identity::{
    Account, AccountError, IdentityProvider, Keys, Lent, Loan, Open, Principal, PrincipalKind,
    RoleProblem, Session, StaticKey,
};
pub use policy::{
    Ask, Attached, Context, DOCUMENT_MAX, Decision, Effect, Evaluation, Grant, Layer,
    MANAGED_POLICY_MAX, Mismatch, NEAR_MAX, NearMiss, Permissions, Policies, Policy, PolicyError,
    PolicyKind, Position, PrincipalType, Reason, ResourceRule, ResourceSide, Said, Standing,
    StatementRef, Who, evaluate, evaluate_with, trusts,
};
pub use request::{PayloadHash, RequestParts};
pub use scheme::{Peeked, Scope, peek, session_token};
pub use seal::{SealKey, SealKeyError, Window, is_former_proven, prove_former};
pub use sign::{Credentials, PresignError, presign, sign};
pub use verify::{Chunked, Expected, Verified, verify, verify_chunked};

/// Longest life of a presigned URL, in seconds (AWS: seven days).
pub const PRESIGN_MAX_S: u32 = 7 * 24 * 3600;
/// How far the clock of a signer may differ from ours, in seconds (AWS: five minutes).
pub const CLOCK_SKEW_S: i64 = 5 * 60;
/// Headers that one signature may cover (ours: bounds the work done before a key is known).
pub const SIGNED_HEADERS_MAX: usize = 100;
