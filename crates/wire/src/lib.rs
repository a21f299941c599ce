//! What goes over the wire: AWS's shapes, operations and errors, and the codecs.
//!
//! The shapes of a service are generated (`cargo xtask codegen`) from AWS's own service model
//! as rows of two macros, [`structure!`] and [`string_enum!`]; every shape then knows how to
//! read itself from a [`Node`] and write itself to a [`Sink`]. A codec turns bytes into nodes
//! and sink calls into bytes, so a further protocol (awsQuery, ec2Query) adds a codec and
//! changes no shape.
//!
//! What it leaves out: I/O, authentication, and any rule that the service model does not state.

#[macro_use]
mod shape;

pub mod acm;
pub mod agent;
pub mod codec;
pub mod ecs;
pub mod elbv2;
mod error;
pub mod iam;
mod node;
mod operation;
pub mod sts;

pub use error::{DecodeError, Problem, ServiceError, with_causes};
pub use node::Node;
pub use operation::{Operation, OperationInfo, Pagination, Protocol, ServiceInfo};
pub use shape::{
    Blob, Context, Limits, Member, Peer, Sensitive, Sink, Structure, Timestamp, Value,
};
