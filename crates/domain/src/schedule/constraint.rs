//! Placement constraints, parsed.

use alloc::vec::Vec;
use core::fmt;

use super::query::{Expression, QueryError};
use crate::limits;
use crate::record::{ConstraintKind, PlacementConstraint};

/// What every placement of a request must keep.
#[derive(Clone, Debug, Default)]
pub struct Constraints {
    /// `distinctInstance`: no two tasks of the group on one instance.
    pub distinct_instance: bool,
    /// `memberOf`: expressions that all hold.
    pub member_of: Vec<Expression>,
}

/// Why constraints cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConstraintError {
    /// More than ten, task definition and request together.
    TooMany,
    /// `memberOf` without expression.
    ExpressionMissing,
    /// `distinctInstance` with expression.
    ExpressionUnexpected,
    /// The expression is malformed.
    Expression(QueryError),
}

impl fmt::Display for ConstraintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => {
                write!(f, "at most {} placement constraints", limits::PLACEMENT_CONSTRAINTS)
            }
            Self::ExpressionMissing => f.write_str("memberOf needs an expression"),
            Self::ExpressionUnexpected => f.write_str("distinctInstance takes no expression"),
            Self::Expression(error) => write!(f, "invalid expression: {error}"),
        }
    }
}

impl core::error::Error for ConstraintError {}

impl Constraints {
    /// Parses the constraints of a task definition together with those of a request or service.
    ///
    /// # Errors
    /// [`ConstraintError`] for the first one that is malformed.
    pub fn parse<'a>(
        constraints: impl IntoIterator<Item = &'a PlacementConstraint>,
    ) -> Result<Self, ConstraintError> {
        let mut parsed = Self::default();
        for (i, constraint) in constraints.into_iter().enumerate() {
            if i >= limits::PLACEMENT_CONSTRAINTS {
                return Err(ConstraintError::TooMany);
            }
            match (constraint.kind, &constraint.expression) {
                (ConstraintKind::DistinctInstance, None) => parsed.distinct_instance = true,
                (ConstraintKind::DistinctInstance, Some(_)) => {
                    return Err(ConstraintError::ExpressionUnexpected);
                }
                (ConstraintKind::MemberOf, None) => return Err(ConstraintError::ExpressionMissing),
                (ConstraintKind::MemberOf, Some(text)) => {
                    let expression =
                        Expression::parse(text).map_err(ConstraintError::Expression)?;
                    parsed.member_of.push(expression);
                }
            }
        }
        Ok(parsed)
    }
}
