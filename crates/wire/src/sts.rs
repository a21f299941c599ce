//! Security Token Service: shapes, operations and errors.

mod error;
mod generated;

pub use error::{ErrorCode, decode_problem};
pub use generated::enums;
pub use generated::operations as op;
pub use generated::operations::{OperationName, SERVICE};
pub use generated::shapes::*;
