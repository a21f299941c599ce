//! Version consistency: all tasks of a deployment run the same images.
//!
//! The digest that the first task of a deployment reports for a container holds for every task
//! that starts later, whatever the tag means by then; also when the service goes back to it.

use super::draft::Draft;
use crate::record::Task;

/// Takes newly reported digests into the current deployment.
pub(super) fn resolve(draft: &mut Draft<'_, '_>) {
    let acting = draft.acting();
    let Some(deployment) = draft.service.deployments.get_mut(acting) else { return };
    let label = deployment.label();
    let own = |task: &&&Task| task.started_by.as_ref() == Some(&label);
    let first = |container: &str| {
        let reported = draft.situation.tasks.iter().filter(own).filter_map(|task| {
            let mut states = task.observed.containers.iter();
            let digest = states.find(|state| state.name == container)?.image_digest.as_ref()?;
            Some((task.created_at, task.id, digest))
        });
        reported.min().map(|(_, _, digest)| digest.clone())
    };
    let spec = draft.situation.spec(&deployment.family, deployment.revision);
    for container in spec.iter().flat_map(|spec| &spec.containers) {
        if !deployment.images.contains_key(&container.name)
            && let Some(digest) = first(&container.name)
        {
            deployment.images.insert(container.name.clone(), digest);
        }
    }
}
