//! Clusters and their container instances.

use super::{access, pairs, provider, tags_on_create};
use crate::access::Asking;

access! { "ecs", ecs {
    CreateCluster Write ["cluster"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys" "ecs:capacity-provider"] ["ecs:TagResource"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            input.capacity_providers.iter().flatten().for_each(|name| provider(asking, name));
            asking.ask_cluster(input.cluster_name.as_deref());
            let cluster = asking.cluster(input.cluster_name.as_deref()).arn();
            tags_on_create(asking, input.tags.as_ref(), cluster, "CreateCluster");
        };
    DeleteCluster Write ["cluster"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_cluster(Some(&input.cluster));
    DescribeClusters Read ["cluster"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| match input.clusters.as_deref().unwrap_or_default() {
            [] => asking.ask_cluster(None),
            clusters => clusters.iter().for_each(|cluster| asking.ask_cluster(Some(cluster))),
        };
    ListClusters List [] [] [] = |_, asking| asking.ask_anything();
    UpdateCluster Write ["cluster"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_cluster(Some(&input.cluster));
    UpdateClusterSettings Write ["cluster"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_cluster(Some(&input.cluster));
    RegisterContainerInstance Write ["cluster"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] ["ecs:TagResource"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            asking.ask_cluster(input.cluster.as_deref());
            let instance = asking.cluster(input.cluster.as_deref()).arn_of("container-instance", "*");
            tags_on_create(asking, input.tags.as_ref(), instance, "RegisterContainerInstance");
        };
    DeregisterContainerInstance Write ["cluster"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_cluster(input.cluster.as_deref());
    DescribeContainerInstances Read ["container-instance"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| instances(asking, input.cluster.as_deref(), &input.container_instances);
    ListContainerInstances List ["cluster"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_cluster(input.cluster.as_deref());
    UpdateContainerInstancesState Write ["container-instance"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| instances(asking, input.cluster.as_deref(), &input.container_instances);
    UpdateContainerAgent Write ["container-instance"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| instances(asking, input.cluster.as_deref(), [&input.container_instance]);
    PutAttributes Write ["container-instance"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| {
            let targets = input.attributes.iter().map(|attribute| attribute.target_id.as_deref());
            instances(asking, input.cluster.as_deref(), targets.map(Option::unwrap_or_default));
        };
    DeleteAttributes Write ["container-instance"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| {
            let targets = input.attributes.iter().map(|attribute| attribute.target_id.as_deref());
            instances(asking, input.cluster.as_deref(), targets.map(Option::unwrap_or_default));
        };
    ListAttributes List ["cluster"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_cluster(input.cluster.as_deref());
} }

fn instances<T: AsRef<str>>(
    asking: &mut Asking<'_>,
    cluster: Option<&str>,
    named: impl IntoIterator<Item = T>,
) {
    let within = asking.within(cluster);
    let mut any = false;
    for instance in named {
        any = true;
        asking.ask_in("container-instance", &within, instance.as_ref());
    }
    if !any {
        asking.ask_anything();
    }
}
