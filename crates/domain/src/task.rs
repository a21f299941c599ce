//! The life of a task on its instance: one function `(state, event, now) -> (state, effects)`.
//!
//! An agent feeds [`step`] with what happened (an order, the outcome of a call to the container
//! runtime, an exit) and carries out the effects. The rules that it keeps: a container is made
//! only when what it depends on has reached the wanted condition; containers stop in the reverse
//! order; nothing is started after the task was asked to stop; whatever happens, a task whose
//! calls are answered ends; and a deadline is a value in the state ([`TaskState::next_deadline`]),
//! never a timer.
//!
//! What it leaves out: how a container is made, the limits of each call (the driver turns a call
//! that hangs into its failure), and what is sent to the control plane beyond "this changed".

mod order;
mod restore;
mod spec;
mod state;
mod step;

pub use restore::{Found, restore};
pub use spec::{
    Condition, ContainerIndex, ContainerSpec, Dependency, PullBehavior, RestartPolicy, SpecError,
    TaskSpec,
};
pub use state::{ContainerState, Doing, Exit, Phase, Reason, Status, TaskState};
pub use step::{Effect, Event, step};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
