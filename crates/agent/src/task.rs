//! From a task as the control plane describes it to one that can be run: checks, start order,
//! and what each container is made of.

mod container;
mod logs;
mod order;
mod volume;

pub(crate) use container::{Surroundings, network_mode, port_ranges, request, runtime_name};
pub use logs::AwsLogs;
pub(crate) use logs::DRIVER as AWSLOGS_DRIVER;
pub(crate) use order::spec;
pub(crate) use volume::{VolumePlan, names as volume_names, plan as volume_plan};
