//! DiscoverPollEndpoint: where an agent opens its websockets.

use longshore_auth::Authorized;
use longshore_wire::ServiceError;
use longshore_wire::ecs::{DiscoverPollEndpointRequest, DiscoverPollEndpointResponse};

use crate::call::Call;

/// Sends the agent to this server, for work and for telemetry: by its advertised URL, or the one
/// where it has reached us. Another server might be out of its reach, or about to be.
pub(crate) async fn discover(
    call: &Call,
    _: Authorized<DiscoverPollEndpointRequest>,
) -> Result<DiscoverPollEndpointResponse, ServiceError> {
    let own = call.server.members.advertised().unwrap_or(&call.base_url);
    let endpoint = || Some(own.to_owned());
    Ok(DiscoverPollEndpointResponse {
        endpoint: endpoint(),
        telemetry_endpoint: endpoint(),
        service_connect_endpoint: endpoint(),
    })
}
