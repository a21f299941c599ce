//! DiscoverPollEndpoint: where an agent opens its websockets.

use longshore_auth::Authorized;
use longshore_wire::ServiceError;
use longshore_wire::ecs::{DiscoverPollEndpointRequest, DiscoverPollEndpointResponse};

use crate::call::Call;

/// Sends the agent back to where it reached us, for work and for telemetry.
pub(crate) async fn discover(
    call: &Call,
    _: Authorized<DiscoverPollEndpointRequest>,
) -> Result<DiscoverPollEndpointResponse, ServiceError> {
    let endpoint = || Some(call.base_url.clone());
    Ok(DiscoverPollEndpointResponse {
        endpoint: endpoint(),
        telemetry_endpoint: endpoint(),
        service_connect_endpoint: endpoint(),
    })
}
